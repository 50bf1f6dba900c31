"""Work that happens beside requests. Floor 4."""
