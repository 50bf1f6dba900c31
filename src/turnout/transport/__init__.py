"""How bytes reach an upstream. Floor 3."""
