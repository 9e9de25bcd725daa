"""NanoDet-Plus: a light dense detector whose auxiliary head chooses which cells learn."""
