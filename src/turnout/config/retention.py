"""The section `retention`: how long Records and their text are kept. Floor 5."""

from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta, Struct

Days = Annotated[int, Meta(ge=0, le=36_500)]


class Keep(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long something is kept. None = as the next wider rule says; without any, for ever."""

    records_days: Days | None = None
    """Records; what was spent stays."""
    content_days: Days | None = None
    """Text of prompts and answers, where it is stored at all."""


class RetentionConfig(Keep, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long Records and their text are kept: of a project, else of its organisation, else of all."""

    organisations: Mapping[str, Keep] = {}
    projects: Mapping[str, Keep] = {}
