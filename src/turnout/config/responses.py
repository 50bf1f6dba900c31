"""The section `responses`: conversations that clients go on with by id. Floor 5."""

from typing import Annotated, Literal

from msgspec import Meta, Struct


class ResponsesConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Answers of `/v1/responses` that are kept, so that `previous_response_id` works with every provider."""

    keep: bool = True
    """False = nothing is kept, as if every request said `store: false`."""
    path: str | None = None
    """SQLite file, shared by the processes of a machine; none = the memory of each process."""
    ttl_s: Annotated[float, Meta(gt=0, le=366 * 86_400)] = 86_400
    """How long an answer is kept."""
    max_mib: Annotated[float, Meta(gt=0, le=1024 * 1024)] = 64
    """Of all answers; beyond it the oldest of whoever keeps most make room."""
    max_per_key: Annotated[int, Meta(ge=1)] = 1_000
    """Answers kept for one key; beyond it the key's oldest make room."""
    compact: Literal["native", "own"] = "native"
    """Who makes conversations short: `native` = providers that have it, and nobody else; `own` = where they
    have not, or guards apply, a model that is asked for notes, which every provider can read."""
    compact_with: str | None = None
    """Model, alias or route that is asked for notes; none = what the request names."""

    def __post_init__(self) -> None:
        if self.compact_with is not None and self.compact != "own":
            raise ValueError("compact_with is asked only where compact is own")
