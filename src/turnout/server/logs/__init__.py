"""What the process says: lines, redaction, and the sinks they go to. Floor 6."""
