"""What is known about models and vendors, as data. Floor 1."""
