"""`rules`: the first condition that holds picks the models or the strategy. Floor 2."""

from turnout.strategies.rules.findings import findings
from turnout.strategies.rules.strategy import Otherwise, Rule, Rules
from turnout.strategies.rules.verdicts import VerdictSense, verdicts_of

__all__ = ["Otherwise", "Rule", "Rules", "VerdictSense", "findings", "verdicts_of"]
