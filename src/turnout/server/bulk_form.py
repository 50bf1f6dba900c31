"""What the endpoints of batches have in common, whatever their format. Floor 6."""

from collections.abc import Mapping
from typing import Final

import msgspec

from turnout.server.bulk import Bulk, enabled
from turnout.server.http import JSON_TYPE, respond
from turnout.server.verbs import Steps
from turnout.server.visit import Visit, no_endpoint

_encode: Final = msgspec.json.Encoder().encode


class BulkForm:
    """The endpoints of one format at one gateway.

    Attributes:
        bulk: Where batches are kept; None = nowhere.
    """

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self.bulk: Bulk | None = None

    def _entered(self, visit: Visit) -> Bulk:
        self._steps.enter(visit, "batches")
        return enabled(self.bulk)

    async def _send(self, visit: Visit, tree: Mapping[str, object]) -> None:
        await respond(visit.send, 200, self._headers(visit), _encode(tree))

    def _headers(self, visit: Visit) -> list[tuple[bytes, bytes]]:
        """Return what an answer is headed by."""
        return [JSON_TYPE, *self._steps.ids(visit.request_id)]


def id_before(verb: str, visit: Visit, mark: str = "/") -> str:
    """Return the id of a path that ends in a verb. Raises `NotFound` where it does not."""
    found, _, said = visit.path_rest.partition(mark)
    if said != verb:
        raise no_endpoint(visit)
    return found
