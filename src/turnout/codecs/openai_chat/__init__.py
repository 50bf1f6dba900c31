"""OpenAI chat completions, both directions. Floor 2."""
