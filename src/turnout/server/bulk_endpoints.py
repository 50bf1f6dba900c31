"""The endpoints of files and batches as one group. Floor 6."""

from collections.abc import Callable

from turnout.server.anthropic_files import AnthropicFiles
from turnout.server.batches import BatchEndpoints
from turnout.server.bulk import Bulk
from turnout.server.file_sources import in_place
from turnout.server.gemini_batches import GeminiBatches
from turnout.server.message_batches import MessageBatches
from turnout.server.paths import Paths
from turnout.server.uploads import Shelf, Uploads
from turnout.server.verbs import Steps
from turnout.server.visit import Visit
from turnout.types.principal import Principal


class BulkEndpoints:
    """`/v1/files`, `/v1/batches`, `/v1/messages/batches` and Gemini's jobs at one gateway."""

    def __init__(self, steps: Steps, defers: Callable[[str], bool], who: Callable[[str], Principal]) -> None:
        """Prepare.

        Args:
            steps: What the gateway does for each of its endpoints.
            defers: Tells whether an endpoint can be asked in the background.
            who: Whom the id of a key stands for.
        """
        self.who = who
        self._uploads = Uploads(steps)
        self._files = AnthropicFiles(steps, self._uploads)
        self._gemini = GeminiBatches(steps)
        self._batches = BatchEndpoints(steps, defers, self._gemini)
        self._messages = MessageBatches(steps)

    def mount(self, paths: Paths[Visit]) -> None:
        """Serve the paths."""
        self._uploads.mount(paths, self._files.endpoints)
        self._files.mount(paths)
        self._batches.mount(paths)
        self._messages.mount(paths)
        self._gemini.mount(paths)

    async def placed(self, visit: Visit, raw: bytes) -> bytes:
        """Return a request with the files of the caller in the place of their ids."""
        return await in_place(self._uploads.shelf, visit.principal, raw)

    def serve_from(self, shelf: Shelf | None, bulk: Bulk | None) -> None:
        """From now on keep files and batches there; None = nowhere."""
        self._uploads.shelf = shelf
        self._batches.bulk = self._messages.bulk = self._gemini.bulk = bulk
