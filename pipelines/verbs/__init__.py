"""What the command does beside running stages: one module for a verb, or for a family of them."""
