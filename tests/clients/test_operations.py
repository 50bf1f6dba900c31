"""The official `cohere` package ranks through the gateway, whoever ranks."""

import asyncio
import json

from tests.clients.kit import environment
from tests.server.kit import gateway
from tests.server.test_tasks import DOCUMENTS, config_text
from turnout.testing.emulator import Emulator, dialects, serving

SCRIPT = """
import json, sys, cohere
base, documents = sys.argv[1], json.loads(sys.argv[2])
ai = cohere.ClientV2(api_key="unused", base_url=base, timeout=10)
for model in ("co/rerank", "vo/rerank", "bed/amazon.rerank"):
    found = ai.rerank(model=model, query="which dogs bark", documents=documents, top_n=2)
    print(json.dumps([[each.index, each.relevance_score] for each in found.results]))
try:
    ai.rerank(model="co/nobody", query="x", documents=documents)
except cohere.NotFoundError as error:
    print(json.dumps([error.status_code]))
"""


async def test_rankings_come_as_the_client_expects_them():
    async with serving(Emulator(dialects())) as base, gateway(config_text(base)) as running:
        python = environment("python-cohere") / "venv" / "bin" / "python"
        process = await asyncio.create_subprocess_exec(
            *(str(python), "-c", SCRIPT, running.url, json.dumps(DOCUMENTS)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    ranked = [[1, 2 / 3], [0, 0.0]]
    assert [json.loads(line) for line in out.splitlines()] == [ranked, ranked, ranked, [404]]
