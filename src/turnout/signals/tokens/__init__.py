"""`tokens.in`, `tokens.out_hat`: how much a request will send and receive. Floor 2."""

from turnout.signals.tokens.sense import TokensInSense, TokensOutSense

__all__ = ["TOKENS_IN", "TOKENS_OUT_HAT", "TokensInSense", "TokensOutSense"]

TOKENS_IN = TokensInSense()
TOKENS_OUT_HAT = TokensOutSense()
