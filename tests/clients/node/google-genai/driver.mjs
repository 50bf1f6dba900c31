// The official `@google/genai` package.
import { GoogleGenAI } from "@google/genai";
import * as drive from "./drive.mjs";

const verdict = (answer, text) => ({
  text,
  stop: answer.candidates[0].finishReason,
  tokens: [answer.usageMetadata.promptTokenCount, answer.usageMetadata.candidatesTokenCount],
});

class Driver {
  constructor(base, key, timeoutS = 20) {
    this.ai = new GoogleGenAI({ apiKey: key, httpOptions: { baseUrl: base, timeout: timeoutS * 1000 } });
  }

  async chat(model) {
    const answer = await this.ai.models.generateContent({ model, contents: "Hi" });
    return verdict(answer, answer.text);
  }

  async stream(model) {
    const pieces = [];
    let last;
    for await (const chunk of await this.ai.models.generateContentStream({ model, contents: "Hi" })) {
      if (chunk.text) pieces.push(chunk.text);
      last = chunk;
    }
    return { ...verdict(last, pieces.join("")), streamed: pieces.length > drive.FEW };
  }

  async tools(model) {
    const functionDeclarations = [{ ...drive.TOOL, parametersJsonSchema: drive.SCHEMA }];
    const config = { tools: [{ functionDeclarations }] };
    const contents = [{ role: "user", parts: [{ text: drive.QUESTION }] }];
    const first = await this.ai.models.generateContent({ model, contents, config });
    const call = first.functionCalls[0];
    const functionResponse = { id: call.id, name: call.name, response: { result: drive.RESULT } };
    contents.push(first.candidates[0].content, { role: "user", parts: [{ functionResponse }] });
    const second = await this.ai.models.generateContent({ model, contents, config });
    return { call: [call.name, call.args], text: second.text };
  }

  async image(model) {
    const picture = { inlineData: { mimeType: "image/png", data: drive.PNG } };
    const answer = await this.ai.models.generateContent({ model, contents: [{ text: "What is this?" }, picture] });
    return { text: answer.text };
  }

  async structured(model) {
    const config = { responseMimeType: "application/json", responseJsonSchema: drive.CITY };
    return JSON.parse((await this.ai.models.generateContent({ model, contents: "Name a city", config })).text);
  }

  async embeddings(model) {
    const answer = await this.ai.models.embedContent({ model, contents: ["one", "two"] });
    return [answer.embeddings.length, answer.embeddings[0].values.length];
  }

  async count(model) {
    return (await this.ai.models.countTokens({ model, contents: "Hi there, you" })).totalTokens;
  }

  async models() {
    const names = [];
    for await (const model of await this.ai.models.list()) names.push(model.name);
    return names.slice(0, 3);
  }

  async leave(model, leaving) {
    const stop = new AbortController();
    const config = { abortSignal: stop.signal };
    const stream = await this.ai.models.generateContentStream({ model, contents: "Hi", config });
    for await (const chunk of stream) {
      if (chunk.text) break;
    }
    leaving();
    stop.abort();
    return true;
  }
}

await drive.run(Driver);
