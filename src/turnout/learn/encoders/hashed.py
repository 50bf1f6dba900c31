"""The encoder without tables or downloads: see `learn.features`. Floor 2."""

from functools import cache

from turnout.learn.features import HashEmbedder


@cache
def load() -> HashEmbedder:
    """Return the encoder."""
    return HashEmbedder()
