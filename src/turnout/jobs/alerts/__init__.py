"""Alerts: rules over what a gateway knows, told to receivers once, and again when it is over. Floor 4."""
