"""The proposal networks, one module each."""
