"""From configuration to objects: data sets, networks, text encoders, starting weights."""
