// The Vercel AI SDK, `ai`, over the provider package that the environment names.
import { createAnthropic } from "@ai-sdk/anthropic";
import { createGoogleGenerativeAI } from "@ai-sdk/google";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embedMany, generateObject, generateText, jsonSchema, stepCountIs, streamText, tool } from "ai";
import * as drive from "./drive.mjs";

globalThis.AI_SDK_LOG_WARNINGS = false; // they go to standard output

const MADE = {
  compatible: (base, apiKey) => {
    const of = createOpenAICompatible({
      name: "turnout",
      baseURL: `${base}/v1`,
      apiKey,
      includeUsage: true,
      supportsStructuredOutputs: true,
    });
    return { chat: of, embed: (model) => of.textEmbeddingModel(model) };
  },
  openai: (base, apiKey) => {
    const of = createOpenAI({ baseURL: `${base}/v1`, apiKey });
    return { chat: (model) => of.chat(model), embed: (model) => of.embedding(model) };
  },
  responses: (base, apiKey) => ({ chat: (model) => createOpenAI({ baseURL: `${base}/v1`, apiKey }).responses(model) }),
  anthropic: (base, apiKey) => ({ chat: createAnthropic({ baseURL: `${base}/v1`, apiKey }) }),
  google: (base, apiKey) => {
    const of = createGoogleGenerativeAI({ baseURL: `${base}/v1beta`, apiKey });
    return { chat: of, embed: (model) => of.textEmbeddingModel(model) };
  },
};
const PROVIDER = process.env.TURNOUT_CLIENT_PROVIDER;
const verdict = (text, stop, usage) => ({ text, stop, tokens: [usage.inputTokens, usage.outputTokens] });

class Driver {
  constructor(base, key, timeoutS = 20) {
    this.of = MADE[PROVIDER](base, key);
    this.timeoutS = timeoutS;
    if (!this.of.embed) this.embeddings = undefined;
  }

  options(model, more) {
    const abortSignal = AbortSignal.timeout(this.timeoutS * 1000);
    return { model: this.of.chat(model), maxRetries: 0, abortSignal, ...more };
  }

  async chat(model) {
    const answer = await generateText(this.options(model, { prompt: "Hi" }));
    return verdict(answer.text, answer.finishReason, answer.usage);
  }

  async stream(model) {
    const answer = streamText(this.options(model, { prompt: "Hi" }));
    const pieces = [];
    for await (const piece of answer.textStream) pieces.push(piece);
    const told = verdict(pieces.join(""), await answer.finishReason, await answer.usage);
    return { ...told, streamed: pieces.length > drive.FEW };
  }

  async tools(model) {
    const called = [];
    const weather = tool({
      description: drive.TOOL.description,
      inputSchema: jsonSchema(drive.SCHEMA),
      execute: async (input) => {
        called.push(["weather", input]);
        return drive.RESULT;
      },
    });
    const more = { prompt: drive.QUESTION, tools: { weather }, stopWhen: stepCountIs(3) };
    const answer = await generateText(this.options(model, more));
    return { call: called[0], text: answer.text };
  }

  async image(model) {
    const image = Buffer.from(drive.PNG, "base64");
    const content = [
      { type: "text", text: "What is this?" },
      { type: "image", image, mediaType: "image/png" },
    ];
    const answer = await generateText(this.options(model, { messages: [{ role: "user", content }] }));
    return { text: answer.text };
  }

  async structured(model) {
    const more = { prompt: "Name a city", schema: jsonSchema(drive.CITY) };
    return (await generateObject(this.options(model, more))).object;
  }

  async embeddings(model) {
    const answer = await embedMany({ model: this.of.embed(model), values: ["one", "two"], maxRetries: 0 });
    return [answer.embeddings.length, answer.embeddings[0].length];
  }

  async leave(model, leaving) {
    const stop = new AbortController();
    const answer = streamText({ ...this.options(model, { prompt: "Hi" }), abortSignal: stop.signal });
    for await (const piece of answer.textStream) {
      if (piece) break;
    }
    leaving();
    stop.abort();
    return true;
  }
}

await drive.run(Driver);
