"""Wire formats: bytes to types and back, sans-IO. Floor 2."""
