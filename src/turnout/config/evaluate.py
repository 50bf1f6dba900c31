"""The section `evaluate`: what the dashboard shows of measurements. Floor 5."""

from msgspec import Struct


class EvaluateConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Reports that `turnout eval` and `turnout calibrate` wrote."""

    reports: str | None = None
    """Folder of JSON files; none = the dashboard shows none."""
