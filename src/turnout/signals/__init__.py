"""Facts about a request, computed on demand. Floor 2."""
