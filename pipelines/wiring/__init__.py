"""From configuration to objects: datasets, networks, text encoders, starting weights."""
