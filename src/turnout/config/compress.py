"""What a configuration says about shortening conversations and about providers' prompt caches. Floor 5."""

from typing import Literal, TypeAlias

from turnout.types.compress import CompressRule

CompressConfig: TypeAlias = Literal["off", "lossless"] | CompressRule
"""`lossless` = a rule as it is where nothing is said."""
PromptCache = Literal["off", "auto"]
"""`auto` = prompts are marked where the wire format has marks and the client set none."""
