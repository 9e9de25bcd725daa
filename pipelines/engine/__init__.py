"""Runs stages: graph, keys, shards, processes, sweeps."""
