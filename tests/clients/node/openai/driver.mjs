// The official `openai` package for Node.
import OpenAI from "openai";
import * as drive from "./drive.mjs";

const FUNCTION = { type: "function", function: { ...drive.TOOL, parameters: drive.SCHEMA, strict: true } };
const user = (content) => ({ role: "user", content });
const verdict = (choice, usage) => ({
  text: choice.message.content,
  stop: choice.finish_reason,
  tokens: [usage.prompt_tokens, usage.completion_tokens],
});

class Driver {
  constructor(base, key, timeoutS = 20) {
    this.ai = new OpenAI({ baseURL: `${base}/v1`, apiKey: key, maxRetries: 0, timeout: timeoutS * 1000 });
  }

  async chat(model) {
    const answer = await this.ai.chat.completions.create({ model, messages: [user("Hi")] });
    return verdict(answer.choices[0], answer.usage);
  }

  async stream(model) {
    const options = { model, messages: [user("Hi")], stream_options: { include_usage: true } };
    const stream = this.ai.chat.completions.stream(options);
    const pieces = [];
    stream.on("content", (piece) => pieces.push(piece));
    const final = await stream.finalChatCompletion();
    return { ...verdict(final.choices[0], final.usage), text: pieces.join(""), streamed: pieces.length > drive.FEW };
  }

  async tools(model) {
    const messages = [user(drive.QUESTION)];
    const first = await this.ai.chat.completions.create({ model, messages, tools: [FUNCTION] });
    const said = first.choices[0].message;
    const call = said.tool_calls[0];
    messages.push(said, { role: "tool", tool_call_id: call.id, content: drive.RESULT });
    const second = await this.ai.chat.completions.create({ model, messages, tools: [FUNCTION] });
    return {
      call: [call.function.name, JSON.parse(call.function.arguments)],
      text: second.choices[0].message.content,
    };
  }

  async image(model) {
    const picture = { type: "image_url", image_url: { url: `data:image/png;base64,${drive.PNG}` } };
    const messages = [user([{ type: "text", text: "What is this?" }, picture])];
    const answer = await this.ai.chat.completions.create({ model, messages });
    return { text: answer.choices[0].message.content };
  }

  async structured(model) {
    const response_format = { type: "json_schema", json_schema: { name: "city", schema: drive.CITY, strict: true } };
    const answer = await this.ai.chat.completions.parse({ model, messages: [user("Name a city")], response_format });
    return JSON.parse(answer.choices[0].message.content);
  }

  async embeddings(model) {
    const answer = await this.ai.embeddings.create({ model, input: ["one", "two"] });
    return [answer.data.length, answer.data[0].embedding.length];
  }

  async models() {
    const names = [];
    for await (const model of this.ai.models.list()) names.push(model.id);
    return names.slice(0, 3);
  }

  async leave(model, leaving) {
    const stream = await this.ai.chat.completions.create({ model, messages: [user("Hi")], stream: true });
    for await (const chunk of stream) {
      if (chunk.choices[0].delta.content) break;
    }
    leaving();
    stream.controller.abort();
    return true;
  }
}

await drive.run(Driver);
