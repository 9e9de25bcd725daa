"""Networks as ONNX files: their own code runs once on symbols, which note what it does."""
