"""The pages for a browser. Floor 6."""
