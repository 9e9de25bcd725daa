"""Networks as ONNX files: their code runs once on symbols, which record every operation."""
