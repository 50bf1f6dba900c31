"""Files and message batches by the official client; prints what it saw."""

import json
import sys
import time

import anthropic

url, key, models = sys.argv[1], sys.argv[2], sys.argv[3].split(",")
client = anthropic.Anthropic(base_url=url, api_key=key, max_retries=0)
requests = [
    {
        "custom_id": model.replace("/", "-"),
        "params": {"model": model, "max_tokens": 50, "messages": [{"role": "user", "content": "Hi"}]},
    }
    for model in models
]
batch = client.messages.batches.create(requests=requests)
for _ in range(400):
    batch = client.messages.batches.retrieve(batch.id)
    if batch.processing_status == "ended":
        break
    time.sleep(0.05)
results = list(client.messages.batches.results(batch.id))
file = client.beta.files.upload(file=("a.txt", b"words of a file", "text/plain"))
named = {"type": "document", "source": {"type": "file", "file_id": file.id}}
turns = [{"role": "user", "content": [named, {"type": "text", "text": "Hi"}]}]
shown = {
    model: client.beta.messages.create(
        model=model, max_tokens=50, messages=turns, betas=["files-api-2025-04-14"]
    ).stop_reason
    for model in models
}
counted = client.messages.count_tokens(model=models[0], messages=turns).input_tokens
saw = {
    "file": [file.filename, file.mime_type, file.size_bytes],
    "files": [each.id for each in client.beta.files.list(limit=1)][:1] == [file.id],
    "content": client.beta.files.download(file.id).read().decode(),
    "shown": shown,
    "counted": counted > 0,
    "forgotten": client.beta.files.delete(file.id).type,
    "batch": [batch.processing_status, batch.request_counts.succeeded],
    "answers": {each.custom_id: each.result.message.content[0].text for each in results},
    "listed": [each.id for each in client.messages.batches.list(limit=1)] == [batch.id],
    "deleted": client.messages.batches.delete(batch.id).type,
}
sys.stdout.write(json.dumps(saw))
