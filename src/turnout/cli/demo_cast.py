"""The demo's models and the configuration that serves them. Floor 7.

One model is real and small. The others are emulated and say so in their names; their prices are stated here
and stand for nobody's.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from turnout.testing.emulator.script import Behaviour
from turnout.types.json import Json

REAL: Final = "local"
"""Provider of the real model."""
RECORDED: Final = "recorded"
"""Provider that answers with recorded answers of real models."""


class Player(Struct, frozen=True, kw_only=True):
    """One model of the demo."""

    provider: str
    model: str
    codec: str
    input_usd: str = "0"
    """Per million tokens."""
    output_usd: str = "0"
    behaviour: Behaviour = Behaviour()
    about: str = ""

    @property
    def id(self) -> str:
        """Name under which clients ask for it."""
        return f"{self.provider}/{self.model}"

    @property
    def is_emulated(self) -> bool:
        """Whether an emulator plays it."""
        return self.provider != REAL


LOCAL: Final = Player(
    provider=REAL, model="smollm2-135m", codec="openai_chat", about="real, SmolLM2-135M under llama.cpp"
)
LARGE: Final = Player(
    provider="emu-openai",
    model="large",
    codec="openai_chat",
    input_usd="2.50",
    output_usd="10",
    behaviour=Behaviour(ttft_s=0.12, tokens_per_s=120, jitter=0.2),
    about="emulated, OpenAI format",
)
MEDIUM: Final = Player(
    provider="emu-anthropic",
    model="medium",
    codec="anthropic",
    input_usd="1",
    output_usd="5",
    behaviour=Behaviour(ttft_s=0.08, tokens_per_s=160, jitter=0.2),
    about="emulated, Anthropic format",
)
SMALL: Final = Player(
    provider="emu-gemini",
    model="small",
    codec="gemini",
    input_usd="0.10",
    output_usd="0.40",
    behaviour=Behaviour(ttft_s=0.04, tokens_per_s=240, jitter=0.2),
    about="emulated, Gemini format",
)
EMULATED: Final = (LARGE, MEDIUM, SMALL)
TRAINEE: Final = "trainee"
"""The key with a small budget; the other one may spend what it likes."""
VISITOR: Final = "visitor"
BUDGET_USD: Final = 0.0006
DOWNGRADE_AT: Final = 0.5
ALIAS: Final = "quick"

_PATHS: Mapping[str, str] = {"gemini": "/v1beta"}
"""Wire format -> what follows the address; else /v1."""


def configuration(
    players: Sequence[Player],
    addresses: Mapping[str, str],
    folder: Path,
    keys: Mapping[str, str],
    exam: Mapping[str, Json],
) -> dict[str, Json]:
    """Return the gateway's configuration: what a user would write into turnout.yaml.

    Args:
        players: Who takes part.
        addresses: Provider -> `http://host:port`.
        folder: Where Records and what was spent go.
        keys: Name -> what clients present.
        exam: Routes of the recorded answers, name -> route without its name; may be empty.
    """
    providers = {each.provider: _provider(each, addresses[each.provider]) for each in players}
    ids = [each.id for each in players]
    spread = [each.id for each in (LOCAL, MEDIUM, SMALL) if each.id in ids]
    routes: list[Json] = [
        {"name": "assistant", "models": [each.id for each in EMULATED], "strategy": {"type": "priority"}},
        {
            "name": "spread",
            "models": spread,
            "strategy": {"type": "weighted", "weights": {LOCAL.id: 1, MEDIUM.id: 2, SMALL.id: 2}},
        },
        {"name": "metered", "models": [MEDIUM.id]},
        {"name": "thrifty", "models": [SMALL.id]},
    ]
    routes += [{"name": name, **route} for name, route in exam.items() if isinstance(route, Mapping)]
    return {
        "version": 1,
        "server": {"keys": [{"name": name, "secret": secret} for name, secret in keys.items()]},
        "providers": providers,
        "models": [_model(each) for each in players],
        "routes": routes,
        "default_route": "assistant",
        "aliases": {ALIAS: SMALL.id},
        "max_retries": 1,
        "breaker": {"consecutive_failures": 4, "open_for_s": 30},
        "journal": {"path": str(folder / "journal.db"), "fsync": "never"},
        "ledger": {"path": str(folder / "ledger.db")},
        "budgets": [
            {
                "id": "trainees",
                "level": "key",
                "subject": TRAINEE,
                "usd": BUDGET_USD,
                "per": "day",
                "thresholds": [{"at": DOWNGRADE_AT, "action": "downgrade", "route": "thrifty"}],
            }
        ],
    }


def _provider(player: Player, address: str) -> Json:
    base = address + _PATHS.get(player.codec, "/v1")
    return {"base_url": base, "codec": player.codec, "auth": "none"}


def _model(player: Player) -> Json:
    price = {"input": player.input_usd, "output": player.output_usd, "source": "turnout demo"}
    return {"model": player.id, "price": price}
