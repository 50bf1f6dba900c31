"""The section `admin`: whether administration may change the configuration. Floor 5."""

from typing import Literal

from msgspec import Struct


class AdminConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The admin API (SECURITY.md section 6)."""

    config: Literal["file", "desk"] = "file"
    """`desk` = versions that are proposed and applied through the API lie over this file."""
