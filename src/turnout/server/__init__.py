"""The gateway: raw ASGI in front of the engine. Floor 6."""
