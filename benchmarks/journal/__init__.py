"""A journal of ten million Records, loaded for real, and every question to it timed."""
