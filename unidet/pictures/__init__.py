"""Images of users and their detections: sources, decoding, drawings, output files."""
