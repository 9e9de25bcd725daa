"""Renders figures and charts as one self-contained HTML file."""
