"""Category names: shipped lists, and parsing of the user's names."""
