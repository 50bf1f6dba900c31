"""`tokens.exact`: input tokens by the byte-pair encoding itself, offline. Floor 2; extra `tokens`.

The package carries its rank files, so nothing is fetched. Loading it costs some 75 MB of disk and a moment,
which is why it is an extra and its own signal: where a strategy needs it, it overrules `tokens.in`.
"""

from typing import Final

import bpe_openai

from turnout.signals.tokens.sense import TokensInSense

ENCODING: Final = "o200k_base"


def _count(text: str) -> float:
    # Lone surrogates are no text; the encoding refuses them.
    return float(len(_ENCODING.encode_ordinary(text.encode("utf-8", "replace").decode())))


_ENCODING: Final = bpe_openai.get_encoding(ENCODING)
TOKENS_EXACT: Final = TokensInSense(name="tokens.exact", count=_count, confidence=1.0)
