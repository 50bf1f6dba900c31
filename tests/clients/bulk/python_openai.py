"""Files and batches by the official client; prints what it saw."""

import json
import sys
import time

import openai

url, key, models = sys.argv[1], sys.argv[2], sys.argv[3].split(",")
client = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)
lines = [
    {
        "custom_id": model,
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {"model": model, "messages": [{"role": "user", "content": "Hi"}]},
    }
    for model in models
]
text = "\n".join(map(json.dumps, lines)).encode()
file = client.files.create(
    file=("in.jsonl", text), purpose="batch", expires_after={"anchor": "created_at", "seconds": 3600}
)
file = client.files.wait_for_processing(file.id, poll_interval=0.05)
batch = client.batches.create(
    input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"a": "b"}
)
for _ in range(400):
    batch = client.batches.retrieve(batch.id)
    if batch.status == "completed":
        break
    time.sleep(0.05)
answers = [json.loads(each) for each in client.files.content(batch.output_file_id).text.splitlines()]
saw = {
    "file": [file.status, file.purpose, file.bytes == len(text), file.expires_at - file.created_at],
    "batch": [batch.status, batch.request_counts.completed, batch.metadata],
    "answers": {
        each["custom_id"]: each["response"]["body"]["choices"][0]["message"]["content"] for each in answers
    },
    "listed": [each.id for each in client.batches.list(limit=1)] == [batch.id],
    "files": len(list(client.files.list(limit=1))),
    "deleted": client.files.delete(file.id).deleted,
}
sys.stdout.write(json.dumps(saw))
