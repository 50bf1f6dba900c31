"""Batch jobs by the official client; prints what it saw."""

import json
import sys
import time

from google import genai
from google.genai import types

url, key, models = sys.argv[1], sys.argv[2], sys.argv[3].split(",")
client = genai.Client(api_key=key, http_options=types.HttpOptions(base_url=url))
contents = [{"parts": [{"text": "Hi"}], "role": "user"}]
answers, jobs = {}, []
for model in models:
    request = {"contents": contents, "metadata": {"key": model}}
    jobs.append(client.batches.create(model=model, src=[request], config={"display_name": f"of {model}"}))
for job in jobs:
    for _ in range(400):
        job = client.batches.get(name=job.name)  # noqa: PLW2901
        if job.state.name == "JOB_STATE_SUCCEEDED":
            break
        time.sleep(0.05)
    (answer,) = job.dest.inlined_responses
    answers[answer.metadata["key"]] = answer.response.text
texts = {"inlined_requests": {"contents": ["one", "two"], "config": {"output_dimensionality": 4}}}
vectors = client.batches.create_embeddings(model="oai/vectors", src=texts, config={"display_name": "vectors"})
for _ in range(400):
    vectors = client.batches.get(name=vectors.name)
    if vectors.state.name == "JOB_STATE_SUCCEEDED":
        break
    time.sleep(0.05)
made = [len(each.response.embedding.values) for each in vectors.dest.inlined_embed_content_responses]
client.batches.delete(name=vectors.name)
listed = [each.name for each in client.batches.list(config={"page_size": 2})]
client.batches.cancel(name=jobs[0].name)
client.batches.delete(name=jobs[0].name)
saw = {
    "names": [job.display_name for job in jobs],
    "answers": answers,
    "vectors": made,
    "listed": listed == [job.name for job in reversed(jobs)],
    "left": len(list(client.batches.list())),
}
sys.stdout.write(json.dumps(saw))
