"""One module a stage: what it takes, what it leaves, and how."""
