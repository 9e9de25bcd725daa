"""Labels in the formats of other tools: each module reads and writes one, around `records`."""
