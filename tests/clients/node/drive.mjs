// Runs a client's features against a gateway and prints what the client saw: one JSON object a line.
// The features and what they return are those of tests/clients/drivers/drive.py.

export const QUESTION = "What is the weather in Paris?";
export const PNG =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC";
export const SCHEMA = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
  additionalProperties: false,
};
export const CITY = {
  type: "object",
  properties: { name: { type: "string" }, population: { type: "integer" } },
  required: ["name", "population"],
  additionalProperties: false,
};
export const TOOL = { name: "weather", description: "Weather of a city." };
export const RESULT = "22 degrees";
export const FEW = 3;
const BY_UPSTREAM = ["chat", "stream", "tools", "image", "structured", "embeddings", "count"];
const FAULTS = ["limited", "overloaded", "context"];
const SHORT_S = 0.4;

export async function run(Driver) {
  const [base, key, names] = process.argv.slice(2);
  const upstreams = names.split(",");
  const client = new Driver(base, key);
  for (const upstream of upstreams) {
    for (const feature of BY_UPSTREAM) {
      if (client[feature]) {
        const model = `${upstream}/${feature === "embeddings" ? "vectors" : "one"}`;
        await tell(feature, upstream, () => client[feature](model));
      }
    }
    for (const fault of FAULTS) await tell(fault, upstream, () => client.chat(`${upstream}/${fault}`));
    await tell("timeout", upstream, () => new Driver(base, key, SHORT_S).chat(`${upstream}/hang`));
    if (client.leave) {
      await tell("cancel", upstream, () => client.leave(`${upstream}/slow`, () => say("leaving", upstream, true)));
    }
  }
  if (client.models) await tell("models", "", () => client.models());
  await tell("unauthenticated", "", () => new Driver(base, "tn_wrong").chat(`${upstreams[0]}/one`));
  await tell("not_found", "", () => client.chat(`${upstreams[0]}/onee`));
  process.exit(0);
}

async function tell(feature, upstream, call) {
  let value;
  try {
    value = await call();
  } catch (error) {
    value = raised(error);
  }
  say(feature, upstream, value);
}

function raised(error) {
  const status = [error.status, error.statusCode].find((found) => typeof found === "number") ?? null;
  return { raised: error.constructor.name, status, message: String(error.message ?? error).slice(0, 400) };
}

function say(feature, upstream, value) {
  process.stdout.write(JSON.stringify({ feature, upstream, value }) + "\n");
}
