"""Content-addressed artefacts: keys, records, atomic publication."""
