"""Charts as inline SVG that follow the page's theme and have a description in words."""
