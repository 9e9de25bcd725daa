"""Downloads files and unpacks archives."""
