"""What is wrapped around a request or an attempt. Floor 4."""
