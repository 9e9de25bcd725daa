"""The proposal networks, one module each behind `proposer.Proposer`, loaded by name."""
