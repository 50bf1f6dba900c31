"""How many tokens families of models make of what the reference makes one of. Data. Floor 2.

Slopes of the input tokens that providers reported for the same prompts over exact counts of the reference
(`scripts/fit_tokens.py`, public function-calling results of 2024). They stand until a deployment's own usage
has been seen (`Stats.tokens_ratio`).
"""

from typing import Final

from turnout.types.deployment import Candidate

FACTORS: Final = (
    ("claude", 1.13),
    ("command", 1.04),
    ("gemini", 0.95),
    ("gemma", 0.95),
    ("codestral", 1.12),
    ("magistral", 1.12),
    ("ministral", 1.12),
    ("mistral", 1.12),
    ("mixtral", 1.12),
    ("llama", 1.06),
)
"""Beginning of a model's name -> factor. Names that stand nowhere here get `UNKNOWN`."""
UNKNOWN: Final = 1.0


def factor_of(model: str) -> float:
    """Return the factor of a model `provider/name` or `provider/maker/name`."""
    name = model.rpartition("/")[2].lower()
    for beginning, factor in FACTORS:
        if name.startswith(beginning):
            return factor
    return UNKNOWN


def correction(candidate: Candidate) -> float:
    """Return what to multiply an estimate by: observed usage of the deployment, or its family's factor."""
    observed = candidate.stats.tokens_ratio
    return factor_of(candidate.deployment.model.id) if observed is None else observed
