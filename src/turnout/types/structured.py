"""What a route does about answers that must have a shape. Floor 0."""

from typing import Annotated, Literal

from msgspec import Meta, Struct


class Structured(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Whether answers with a required shape are checked, and what follows when one misses it.

    A shape is a response format (`json_object`, `json_schema`, and what means the same in other dialects), or
    the arguments of a tool that the model is made to call.
    """

    validate: bool = True
    """False = as if this section were not there."""
    repair: Literal["off", "same", "stronger"] = "off"
    """Who is asked again, with what was wrong: nobody, the model that answered, or the next stronger one of
    the route. Streams are then collected before anything is handed out."""
    max_repairs: Annotated[int, Meta(ge=1, le=3)] = 1
    """Times one request may ask again; each is a further call, counted and paid like any other."""
    on_invalid: Literal["answer", "error"] = "answer"
    """What a client gets that still misses: the answer with a warning, or `invalid_model_output`. With
    `error` streams are collected too."""

    @property
    def collects(self) -> bool:
        """Whether a stream is handed out only once all of it was checked."""
        return self.repair != "off" or self.on_invalid == "error"
