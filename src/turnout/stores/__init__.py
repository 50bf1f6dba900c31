"""Where state lives. Floor 3."""
