"""Which model would be asked, and why: decided from the catalogue alone. No key, nothing is sent."""

from turnout.client import AsyncClient
from turnout.config import Config

MODELS = ["openai/gpt-5-mini", "anthropic/claude-haiku-4-5", "mistral/mistral-small-latest"]


QUESTION = "Summarise this contract in three points."
found = AsyncClient(Config()).recommend(QUESTION, models=MODELS, max_tokens=300)

print(f"ask {found.model}, because of {found.decision.reason}")
for each in found.ranked:
    mean = each.cost_nusd.mean
    cost = "unknown" if mean is None else f"${mean / 1e9:.6f}"
    quality = "unknown" if each.q is None else f"{each.q:.2f}"
    print(f"  {each.rank} {each.model:<28} quality {quality}, about {cost}: {', '.join(each.reasons)}")
