// The official `@anthropic-ai/sdk` package.
import Anthropic from "@anthropic-ai/sdk";
import * as drive from "./drive.mjs";

const TOOL = { ...drive.TOOL, input_schema: drive.SCHEMA };
const user = (content) => ({ role: "user", content });
const verdict = (message) => ({
  text: message.content[0].text,
  stop: message.stop_reason,
  tokens: [message.usage.input_tokens, message.usage.output_tokens],
});

class Driver {
  constructor(base, key, timeoutS = 20) {
    this.ai = new Anthropic({ baseURL: base, apiKey: key, maxRetries: 0, timeout: timeoutS * 1000 });
  }

  ask(model, messages, more = {}) {
    return this.ai.messages.create({ model, max_tokens: 100, messages, ...more });
  }

  async chat(model) {
    return verdict(await this.ask(model, [user("Hi")]));
  }

  async stream(model) {
    const stream = this.ai.messages.stream({ model, max_tokens: 100, messages: [user("Hi")] });
    const pieces = [];
    stream.on("text", (piece) => pieces.push(piece));
    const final = await stream.finalMessage();
    return { ...verdict(final), text: pieces.join(""), streamed: pieces.length > drive.FEW };
  }

  async tools(model) {
    const messages = [user(drive.QUESTION)];
    const first = await this.ask(model, messages, { tools: [TOOL] });
    const use = first.content.find((block) => block.type === "tool_use");
    const result = { type: "tool_result", tool_use_id: use.id, content: drive.RESULT };
    messages.push({ role: "assistant", content: first.content }, user([result]));
    const second = await this.ask(model, messages, { tools: [TOOL] });
    return { call: [use.name, use.input], text: second.content[0].text };
  }

  async image(model) {
    const source = { type: "base64", media_type: "image/png", data: drive.PNG };
    const parts = [{ type: "text", text: "What is this?" }, { type: "image", source }];
    return { text: (await this.ask(model, [user(parts)])).content[0].text };
  }

  async structured(model) {
    const output_config = { format: { type: "json_schema", schema: drive.CITY } };
    const answer = await this.ai.messages.parse({
      model,
      max_tokens: 100,
      messages: [user("Name a city")],
      output_config,
    });
    return JSON.parse(answer.content[0].text);
  }

  async count(model) {
    return (await this.ai.messages.countTokens({ model, messages: [user("Hi there, you")] })).input_tokens;
  }

  async models() {
    const names = [];
    for await (const model of this.ai.models.list()) names.push(model.id);
    return names.slice(0, 3);
  }

  async leave(model, leaving) {
    const stream = await this.ai.messages.create({
      model,
      max_tokens: 100,
      messages: [user("Hi")],
      stream: true,
    });
    for await (const event of stream) {
      if (event.type === "content_block_delta") break;
    }
    leaving();
    stream.controller.abort();
    return true;
  }
}

await drive.run(Driver);
