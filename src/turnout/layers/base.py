"""What every layer is: a function around a handler. Floor 4.

Theory of operation. A layer is written as a small class with `__aenter__` and `__aexit__` rather than
as a generator: it is entered for every request, and a generator-based context manager costs four times
as much.

1. `__aenter__` enters the inner handler and returns its Reply. If the inner `__aenter__` raises, the
   layer's own `__aexit__` will not run: whatever it acquired must be given back before it re-raises.
2. `__aexit__` calls the inner `__aexit__` exactly once, with the same arguments, whatever its own work does.
3. A layer never swallows cancellation and never re-enters the inner handler after commit.
"""

from collections.abc import Callable
from types import TracebackType
from typing import TypeAlias

from turnout.engine.exchange import Call, CallHandler, CallLayer, Clock, Exchange, Handler, Layer, Sleep
from turnout.engine.reply import Reply

ExcInfo: TypeAlias = "tuple[type[BaseException] | None, BaseException | None, TracebackType | None]"
Factory = Callable[..., Layer]

__all__ = ["Call", "CallHandler", "CallLayer", "Clock", "ExcInfo", "Exchange", "Factory", "Handler", "Layer", "Reply", "Sleep"]
