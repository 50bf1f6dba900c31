"""What one request has set aside in the ledger, its first call's money included. Floor 4.

Theory of operation.

1. A request is decided after its place, its tokens and a look at its budgets were reserved, so whom it will
   call is not known then. It is guessed: the deployment that was called first by those who asked for the same
   model before. The worst case of that call is reserved in the same step as everything else.
2. A guess never refuses anything, and never holds up anybody: money is set aside beforehand only where each
   hard budget has room for `ROOM` times as much. Where it has not, nothing is guessed for these callers
   during `EXACT_S`, and each call reserves for itself (`layers.budget`).
3. A first call whose worst case is within what was guessed needs no reservation, and is settled with the
   request. Any other call, and a first one that is dearer, reserves for itself; what was guessed is given
   back when the request is settled.
4. The guess follows what is called: at once to what is dearer, to what is cheaper when the guess was dearer
   than needed `STALE` times in a row.
"""

from typing import Final, NamedTuple

from turnout.engine.exchange import Call, Request
from turnout.engine.limits import Worst, worst_case
from turnout.types.ask import Ask
from turnout.types.chat import ChatRequest
from turnout.types.deployment import Deployment
from turnout.types.usage import NanoUsd

ROOM: Final = 16
"""Worst cases that a hard budget must have room for, so that one is set aside on a guess."""
EXACT_S: Final = 1.0
STALE: Final = 16
MOST_KEPT: Final = 10_000
"""Names of models for which a guess is kept."""


class Rates(NamedTuple):
    """The most that a call to one deployment costs, in pico-USD."""

    input: int
    output: int
    image: int
    call: int

    def nusd(self, n_in: int, n_out: int, n_media: int) -> NanoUsd:
        """Return what a call of so much costs at its worst."""
        pico = n_in * self.input + n_out * self.output + self.call
        return NanoUsd(-(-(pico + n_media * self.image if n_media else pico) // 1000))


def rates_of(deployment: Deployment) -> Rates | None:
    """Return the highest rates of a deployment; None where none are known, or they depend on the input."""
    price = deployment.model.price
    if price is None or price.tiers:
        return None
    return Rates(
        max(price.input, price.cache_write_5m or 0, price.cache_write_1h or 0, price.audio_in or 0),
        max(price.output, price.reasoning or 0, price.audio_out or 0),
        price.per_image or 0,
        price.per_request or 0,
    )


class Guess:
    """Whom requests for a model called first lately."""

    __slots__ = ("deployment", "n_dearer")

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.n_dearer = 0
        """Requests in a row whose first call went to another."""


class Guesses:
    """The guesses of one configuration, by the name that was asked for."""

    __slots__ = ("_by_name", "_rates")

    def __init__(self) -> None:
        self._by_name: dict[str, Guess] = {}
        self._rates: dict[str, tuple[Deployment, Rates | None]] = {}
        """By deployment: bounded by those that are configured."""

    def rates(self, deployment: Deployment) -> Rates | None:
        """Return the highest rates of a deployment; None where they are not that simple."""
        found = self._rates.get(deployment.id)
        if found is None or found[0] is not deployment:
            found = self._rates[deployment.id] = (deployment, rates_of(deployment))
        return found[1]

    def of(self, model: str) -> Guess | None:
        """Return whom a request for a model will call first, as far as anybody knows."""
        return self._by_name.get(model)

    def learn(self, model: str, deployment: Deployment) -> None:
        """Take in that requests for a model call this first."""
        if len(self._by_name) >= MOST_KEPT:
            self._by_name.clear()
        self._by_name[model] = Guess(deployment)


class Booking:
    """What a request has set aside."""

    __slots__ = ("_ask", "_request", "_worst", "guess", "guesses", "is_used", "model", "money", "name")

    def __init__(self, ask: Ask, model: str, guesses: Guesses) -> None:
        self._ask = ask
        self._request: Request | None = None
        self._worst: Worst | None = None
        self.model = model
        """As the client named it."""
        self.guesses = guesses
        self.guess: Guess | None = None
        self.money: int | None = None
        """Set aside for the first call, in nano-USD; None = nothing was guessed."""
        self.is_used = False
        """Whether the first call goes on it."""
        self.name = f"{ask.request_id}:q"

    def suppose(self, request: Request, worst: Worst) -> None:
        """Set aside what the first call is likely to cost at its worst, where somebody called before.

        Args:
            request: What is asked.
            worst: The most it can use, whoever is called.
        """
        self.guess = guess = self.guesses.of(self.model)
        if guess is None or request.facts.realtime:  # a session pays answer by answer
            return
        self._request = request
        if isinstance(request, ChatRequest) and request.max_tokens:
            self._worst = worst  # then it is the most that anybody can use
        self.money = self._most(request, guess.deployment)
        if self.money is not None:
            self.name = f"{self._ask.request_id}:1"

    def _most(self, request: Request, deployment: Deployment) -> NanoUsd | None:
        """Return what a call costs at its worst; None where the price is not known."""
        worst = self._worst
        if worst is not None and request is self._request:
            rates = self.guesses.rates(deployment)
            if rates is not None:
                return rates.nusd(worst.n_in, worst.n_out, request.facts.n_media)
        return worst_case(request, deployment).cost_nusd

    def forgo(self) -> None:
        """Set nothing aside for the first call after all."""
        self.money = None
        self.name = f"{self._ask.request_id}:q"

    def covers(self, call: Call) -> bool:
        """Tell whether the first call of a request needs no reservation of its own; learn from it."""
        guess, money = self.guess, self.money
        if guess is None or money is None:
            if guess is None:
                self.guesses.learn(self.model, call.deployment)
            return False
        ask, now = self._ask, call.exchange.ask
        if ask.principal is not now.principal or ask.surface != now.surface or ask.end_user != now.end_user:
            return False
        if guess.deployment is call.deployment and self._request is call.request:
            guess.n_dearer = 0
            self.is_used = True
            return True
        worst = self._most(call.request, call.deployment)
        if worst is None or worst > money:
            self.guesses.learn(self.model, call.deployment)
            return False
        guess.n_dearer = 0 if guess.deployment is call.deployment else guess.n_dearer + 1
        if guess.n_dearer >= STALE:
            self.guesses.learn(self.model, call.deployment)
        self.is_used = True
        return True
