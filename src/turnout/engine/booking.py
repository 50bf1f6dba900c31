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

from typing import Final

from turnout.engine.exchange import Call, Request
from turnout.engine.limits import worst_case
from turnout.types.ask import Ask
from turnout.types.deployment import Deployment

ROOM: Final = 16
"""Worst cases that a hard budget must have room for, so that one is set aside on a guess."""
EXACT_S: Final = 1.0
STALE: Final = 16
MOST_KEPT: Final = 10_000
"""Names of models for which a guess is kept."""


class Guess:
    """Whom requests for a model called first lately."""

    __slots__ = ("deployment", "n_dearer")

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.n_dearer = 0
        """Requests in a row whose first call went to another."""


class Guesses:
    """The guesses of one configuration, by the name that was asked for."""

    __slots__ = ("_by_name",)

    def __init__(self) -> None:
        self._by_name: dict[str, Guess] = {}

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

    __slots__ = ("_ask", "_request", "guess", "guesses", "is_used", "model", "money", "name")

    def __init__(self, ask: Ask, model: str, guesses: Guesses) -> None:
        self._ask = ask
        self._request: Request | None = None
        self.model = model
        """As the client named it."""
        self.guesses = guesses
        self.guess: Guess | None = None
        self.money: int | None = None
        """Set aside for the first call, in nano-USD; None = nothing was guessed."""
        self.is_used = False
        """Whether the first call goes on it."""
        self.name = f"{ask.request_id}:q"

    def suppose(self, request: Request) -> None:
        """Set aside what the first call is likely to cost at its worst, where somebody called before."""
        self.guess = guess = self.guesses.of(self.model)
        if guess is None or request.facts.realtime:  # a session pays answer by answer
            return
        self._request = request
        self.money = worst_case(request, guess.deployment).cost_nusd
        if self.money is not None:
            self.name = f"{self._ask.request_id}:1"

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
        worst = worst_case(call.request, call.deployment).cost_nusd
        if worst is None or worst > money:
            self.guesses.learn(self.model, call.deployment)
            return False
        guess.n_dearer = 0 if guess.deployment is call.deployment else guess.n_dearer + 1
        if guess.n_dearer >= STALE:
            self.guesses.learn(self.model, call.deployment)
        self.is_used = True
        return True
