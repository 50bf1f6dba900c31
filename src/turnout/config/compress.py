"""What a configuration says about shortening conversations and about providers' prompt caches. Floor 5."""

from typing import Literal

CompressMode = Literal["off", "lossless"]
"""In place of a rule; `lossless` = one as it is where nothing is said."""
PromptCache = Literal["off", "auto"]
"""`auto` = prompts are marked where the wire format has marks and the client set none."""
