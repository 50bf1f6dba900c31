"""The frozen facts everything else is made of. Floor 0."""
