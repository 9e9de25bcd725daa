"""Hydra configuration files, installed as data."""
