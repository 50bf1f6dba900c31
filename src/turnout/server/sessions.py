"""Sessions over WebSockets as one group: OpenAI's and Gemini's. Floor 6."""

from turnout.engine.engine import Engine
from turnout.server.live import Live
from turnout.server.paths import Paths
from turnout.server.realtime import Head, Realtime
from turnout.server.verbs import Steps
from turnout.server.visit import Visit


class Sessions:
    """The endpoints at one gateway; a key's sessions are counted over both.

    Args:
        engine: Serves sessions.
        steps: What the gateway does for each of its endpoints.
        head: Writes the headers of an answer.
    """

    def __init__(self, engine: Engine, steps: Steps, head: Head) -> None:
        self._realtime = Realtime(engine, steps, head)
        self._live = Live(engine, steps, self._realtime)

    def mount(self, paths: Paths[Visit]) -> None:
        """Serve the paths."""
        self._realtime.mount(paths)
        self._live.mount(paths)
