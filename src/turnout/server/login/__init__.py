"""How people get in: sign-in through a provider or with a key, and the sessions of browsers. Floor 6."""
