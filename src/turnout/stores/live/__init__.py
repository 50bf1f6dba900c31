"""Live numbers of every deployment: health, latency, load. In process; floor 3.

Pure data structures: clock readings and randomness are arguments, nothing here waits or does I/O.
"""

from turnout.stores.live.breaker import ILL, Blame, Breaker, BreakerConfig, blame
from turnout.stores.live.budget import RetryBudget, RetryBudgetConfig
from turnout.stores.live.fleet import Fleet, Live, Reader
from turnout.stores.live.health import Change, Health, HealthConfig, OnChange
from turnout.stores.live.ratio import Ratio
from turnout.stores.live.sketch import Sketch
from turnout.stores.live.window import Window

__all__ = [
    "ILL",
    "Blame",
    "Breaker",
    "BreakerConfig",
    "Change",
    "Fleet",
    "Health",
    "HealthConfig",
    "Live",
    "OnChange",
    "Ratio",
    "Reader",
    "RetryBudget",
    "RetryBudgetConfig",
    "Sketch",
    "Window",
    "blame",
]
