"""What makes a journal forget. Floor 3."""
