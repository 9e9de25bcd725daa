"""Detection on pictures of one's own: a model, and what it is opened from."""
