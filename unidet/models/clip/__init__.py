"""CLIP: tokenizer, text transformer, image network."""
