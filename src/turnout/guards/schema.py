"""The form of an answer: JSON, and a JSON Schema of its own or the one the request asked for. Floor 2.

It says what the form is; the layer checks it as that of any answer is checked (`strategies.accept.schema`).
"""

from typing import ClassVar

from msgspec import Struct

from turnout.guards.base import NOTHING_FOUND, Context, Finding, Stage
from turnout.types.json import Json, JsonObject


class Schema(Struct, frozen=True, kw_only=True, tag_field="type", tag="schema"):
    """Finds answers that miss their form. Calls of tools, and refusals, have none."""

    json_schema: dict[str, Json] | None = None
    """What every answer must be; None = what its request asked for, and nothing where it asked for none."""

    stages: ClassVar[frozenset[Stage]] = frozenset(("out",))
    whole: ClassVar[bool] = True
    of_answer: ClassVar[bool] = True

    @property
    def name(self) -> str:
        """Word for Records."""
        return "schema"

    @property
    def hold_back(self) -> int:
        """Nothing leaves before it is complete."""
        return 0

    def check(self, text: str, context: Context) -> tuple[Finding, ...]:
        """Return nothing: the layer looks."""
        return NOTHING_FOUND

    def applies(self, context: Context) -> bool:
        """Tell whether the answer must have a form."""
        return self.form(context) is not None

    def form(self, context: Context) -> JsonObject | None:
        """Return the schema."""
        return self.json_schema if self.json_schema is not None else context.schema
