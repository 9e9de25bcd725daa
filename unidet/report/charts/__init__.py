"""Charts as inline SVG that follow the page's theme and say in words what they show."""
