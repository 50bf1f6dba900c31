// Files and batches by the official client; prints what it saw.
import OpenAI, { toFile } from "openai";

const [url, key, models] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: 0 });
const lines = models.split(",").map((model) => JSON.stringify({
  custom_id: model,
  method: "POST",
  url: "/v1/chat/completions",
  body: { model, messages: [{ role: "user", content: "Hi" }] },
}));
const file = await client.files.create({ file: await toFile(Buffer.from(lines.join("\n")), "in.jsonl"), purpose: "batch" });
let batch = await client.batches.create({
  input_file_id: file.id, endpoint: "/v1/chat/completions", completion_window: "24h",
});
for (let n = 0; n < 400 && batch.status !== "completed"; n++) {
  await new Promise((done) => setTimeout(done, 50));
  batch = await client.batches.retrieve(batch.id);
}
const text = await (await client.files.content(batch.output_file_id)).text();
const answers = text.trim().split("\n").map((line) => JSON.parse(line));
console.log(JSON.stringify({
  batch: [batch.status, batch.request_counts.completed],
  answers: Object.fromEntries(answers.map((each) => [each.custom_id, each.response.body.choices[0].message.content])),
}));
