"""What is learned from outcomes, and what can be promised about it. Floor 2."""
