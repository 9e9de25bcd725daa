"""Files from servers of the web: fetching, and unpacking of archives."""
