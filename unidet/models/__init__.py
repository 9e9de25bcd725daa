"""Networks only: no file I/O, no configuration objects."""
