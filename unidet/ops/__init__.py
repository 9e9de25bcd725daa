"""Pure tensor functions: boxes, anchors, matching, sampling, NMS, RoIAlign, losses."""
