"""The toy world: scenes of coloured, textured shapes with names, boxes and captions."""
