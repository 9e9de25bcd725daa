"""From figures and charts to one self-contained HTML file."""
