"""Official checkpoints' names and shapes, and where each tensor stands in our networks."""
