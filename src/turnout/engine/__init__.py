"""The interpreter of plans. Floor 4."""
