"""Pictures of users and what was found in them: sources, decoding, detections, drawings, files."""
