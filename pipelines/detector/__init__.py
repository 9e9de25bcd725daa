"""Detection in your own images: the model and how it is opened."""
