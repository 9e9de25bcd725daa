"""Label formats of other tools: each module reads and writes one, with the types of `records`."""
