// A live session by the official client; prints what it saw.
import { GoogleGenAI, Modality } from "@google/genai";

const [url, key] = process.argv.slice(2);
const ai = new GoogleGenAI({ apiKey: key, httpOptions: { baseUrl: url } });
const messages = [];
let over;
const ended = new Promise((done) => { over = done; });
const session = await ai.live.connect({
  model: "gem/talk",
  config: { responseModalities: [Modality.TEXT] },
  callbacks: {
    onmessage: (message) => {
      messages.push(message);
      if (message.serverContent?.turnComplete) over();
    },
    onerror: (error) => { throw error; },
  },
});
session.sendClientContent({ turns: "one two three", turnComplete: true });
await ended;
session.close();
const said = messages.map((message) => message.text ?? "").join("");
const usage = messages.at(-1).usageMetadata;
process.stdout.write(JSON.stringify({ said, tokens: [usage.promptTokenCount, usage.responseTokenCount] }));
