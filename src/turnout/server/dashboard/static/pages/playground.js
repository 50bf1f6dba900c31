// Several models side by side: their answers as they stream, what they cost, how long they took, and why a route chose as it did.

import { get } from '../lib/api.js';
import { h, put } from '../lib/dom.js';
import { count, seconds, usd, words } from '../lib/format.js';
import { link } from '../lib/place.js';
import { Calls, chunks, failure, indented } from '../lib/stream.js';
import { card, chip, empty, problem } from '../ui/parts.js';

const MOST = 4;
const FIRST = 'Explain in two sentences why the sky is blue.';
const SHAPES = { text: 'as text', json: 'as JSON', schema: 'by a JSON schema', tools: 'with tools' };
const SCHEMA = { type: 'object', properties: { answer: { type: 'string' }, sure: { type: 'number' } }, required: ['answer', 'sure'], additionalProperties: false };
const TOOLS = [{ type: 'function', function: { name: 'weather', description: 'The weather at a place', parameters: { type: 'object', properties: { place: { type: 'string' } }, required: ['place'] } } }];
const EXAMPLES = { schema: SCHEMA, tools: TOOLS };
const RECORD_MS = 400;
let key = ''; // of this page alone: never stored

export default async function playground({ me, onLeave }) {
  const [models, routes] = await Promise.all([get('/models'), get('/routes')]);
  const first = routes.data.find((each) => each.is_default) ?? routes.data[0];
  const names = [...routes.data.map((each) => `turnout/${each.id}`), ...models.data.filter((each) => each.kind === 'chat').map((each) => each.id)];
  if (!names.length) return [empty('No model can be asked here.', 'Name one under `models` in the configuration.')];
  const started = [first && `turnout/${first.id}`, ...names.filter((each) => !each.startsWith('turnout/'))].filter(Boolean).slice(0, MOST - 1);
  let stop = null;
  onLeave(() => stop?.abort());
  const picks = Array.from({ length: MOST }, (_, at) => picker(names, at, started[at]));
  const prompt = h('textarea', { rows: 4, name: 'prompt', required: true, 'aria-label': 'Prompt', value: FIRST });
  const system = h('input', { type: 'text', name: 'system', placeholder: 'System prompt (optional)', 'aria-label': 'System prompt' });
  const most = h('input', { type: 'number', value: 400, min: 1, max: 32000, 'aria-label': 'Most tokens', size: 6 });
  const secret = h('input', { type: 'password', autocomplete: 'off', placeholder: 'Turnout key with the role call', size: 28, 'aria-label': 'Turnout key', value: key, oninput: () => { key = secret.value; } });
  const shape = shaped();
  const results = h('div', { class: 'columns' });
  const go = h('button', { class: 'main', type: 'submit' }, 'Ask them');
  const halt = h('button', { type: 'button', hidden: true, onclick: () => stop?.abort() }, 'Stop');
  const ask = async (event) => {
    event.preventDefault();
    let more;
    try {
      more = shape.read();
    } catch (error) {
      put(results, problem({ message: `The ${shape.name()} are no JSON: ${error.message}` }));
      return;
    }
    stop = new AbortController();
    go.disabled = true;
    halt.hidden = false;
    const columns = picks.map((pick) => pick.value).filter(Boolean).map((name) => column(name));
    put(results, columns.map((each) => each.element));
    const messages = [...(system.value ? [{ role: 'system', content: system.value }] : []), { role: 'user', content: prompt.value }];
    const told = await Promise.all(columns.map((each) => run(each, { messages, max_tokens: Number(most.value) || 400, ...more }, stop.signal)));
    compare(columns, told);
    go.disabled = false;
    halt.hidden = true;
  };
  return [
    card('Ask', 'each model answers the same prompt', h('form', { class: 'form', onsubmit: ask },
      h('div', { class: 'row' }, picks), system, prompt, shape.text,
      h('div', { class: 'row' }, me.csrf ? secret : null, h('label', { class: 'row' }, 'answered ', shape.pick), h('label', { class: 'row' }, 'at most ', most, ' tokens'), go, halt))),
    results,
  ];
}

function picker(names, at, chosen) {
  return h('select', { 'aria-label': `Model ${at + 1}` }, h('option', { value: '' }, at < MOST - 1 ? 'nobody' : 'and …'), names.map((name) => h('option', { value: name, selected: name === chosen }, name)));
}

/** In what shape an answer is wished, and what says so in a request. */
function shaped() {
  const text = h('textarea', { class: 'code', rows: 7, hidden: true, spellcheck: 'false', 'aria-label': 'Schema or tools, as JSON', style: { minHeight: '140px' } });
  const pick = h('select', { 'aria-label': 'Shape of the answer', onchange: () => {
    text.hidden = !(pick.value in EXAMPLES);
    if (!text.hidden) text.value = JSON.stringify(EXAMPLES[pick.value], null, 2);
  } }, Object.entries(SHAPES).map(([value, title]) => h('option', { value }, title)));
  const read = () => {
    if (pick.value === 'json') return { response_format: { type: 'json_object' } };
    if (pick.value === 'schema') return { response_format: { type: 'json_schema', json_schema: { name: 'answer', strict: true, schema: JSON.parse(text.value) } } };
    return pick.value === 'tools' ? { tools: JSON.parse(text.value) } : {};
  };
  return { text, pick, read, name: () => (pick.value === 'tools' ? 'tools' : 'properties of the schema') };
}

function column(name) {
  const words_ = document.createTextNode('');
  const answer = h('div', { class: 'answer', tabindex: '0', role: 'region', 'aria-label': `Answer of ${name}` }, words_);
  const facts = h('div', { class: 'chips', role: 'status' }, chip('asking …'));
  const [calls, wrong, why] = [h('div', { class: 'stack' }), h('div'), h('div')];
  return { name, words: words_, answer, facts, calls, wrong, why, element: card(name, null, facts, answer, calls, wrong, why) };
}

/** Ask one model; return {cost, total} where it answered. */
async function run(column_, body, signal) {
  const began = performance.now();
  const took = () => (performance.now() - began) / 1000;
  const seen = { first: null, usage: null, finish: null, id: null };
  try {
    await read(column_, body, signal, seen, took);
  } catch (error) {
    const stopped = error.name === 'AbortError';
    put(column_.facts, stopped ? chip('stopped', 'warn') : chip('failed', 'bad'), chip(`after ${seconds(took())}`));
    if (!stopped) put(column_.wrong, problem(error));
    if (seen.id) put(column_.why, h('p', {}, story(seen.id)));
    return null;
  }
  const total = took();
  put(column_.facts, chip(`first token ${seconds(seen.first)}`), chip(`whole answer ${seconds(total)}`),
    seen.usage && chip(`${count(seen.usage.prompt_tokens)} → ${count(seen.usage.completion_tokens)} tokens`), seen.finish && chip(words(seen.finish), ['stop', 'tool_calls'].includes(seen.finish) ? 'good' : 'warn'));
  const cost = seen.id ? await reasons(column_, seen.id).catch(() => null) : null;
  return { total, cost };
}

async function read(column_, body, signal, seen, took) {
  const response = await fetch('/v1/chat/completions', {
    method: 'POST', signal, credentials: 'omit',
    headers: { 'content-type': 'application/json', ...(key ? { authorization: `Bearer ${key}` } : {}), 'x-turnout-surface': 'playground' },
    body: JSON.stringify({ ...body, model: column_.name, stream: true, stream_options: { include_usage: true } }),
  });
  seen.id = response.headers.get('x-turnout-request-id');
  if (!response.ok) throw await failure(response);
  const calls = new Calls();
  for await (const event of chunks(response)) {
    if (event.error) throw new Error(event.error.message);
    seen.usage = event.usage ?? seen.usage;
    const [choice] = event.choices ?? [];
    seen.finish = choice?.finish_reason ?? seen.finish;
    const { content, tool_calls: fragments } = choice?.delta ?? {};
    if (content || fragments) seen.first ??= took();
    if (content) grow(column_, content);
    if (fragments) calls.take(fragments);
  }
  put(column_.calls, calls.all.map((call) => h('div', {}, h('h3', {}, `would call ${call.name}`), h('pre', { class: 'code', tabindex: '0' }, indented(call.arguments)))));
  if (body.response_format) column_.words.data = indented(column_.words.data);
}

/** Add to an answer, and stay at its end where the reader is there. */
function grow({ words: words_, answer }, text) {
  const follows = answer.scrollTop + answer.clientHeight >= answer.scrollHeight - 4;
  words_.appendData(text);
  if (follows) answer.scrollTop = answer.scrollHeight;
}

const story = (id) => h('a', { href: link('request', id) }, 'The whole story');

// The Record is written behind the answer: ask for it until it is there.
async function reasons(column_, id) {
  for (let n = 0; n < 8; n += 1) {
    const { data } = await get('/requests', { search: id, limit: 1 });
    if (data.length) {
      const record = await get(`/requests/${encodeURIComponent(id)}`);
      column_.facts.append(chip(usd(record.cost_usd)), chip(record.outcome.model ?? '–', 'accent'));
      put(column_.why, h('p', {}, 'Chosen because ', words(record.decision?.reason), '. ', story(id)));
      return record.cost_usd === null ? null : Number(record.cost_usd);
    }
    await new Promise((resolve) => { setTimeout(resolve, RECORD_MS); });
  }
  put(column_.why, h('p', {}, story(id)));
  return null;
}

/** Mark who was fastest and who was cheapest, where there is something to compare. */
function compare(columns, told) {
  for (const [name, word] of [['total', 'fastest'], ['cost', 'cheapest']]) {
    const known = told.map((each) => each?.[name] ?? null);
    const values = known.filter((each) => each !== null);
    const least = Math.min(...values);
    if (values.length > 1 && values.some((each) => each !== least)) columns[known.indexOf(least)].facts.append(chip(word, 'good'));
  }
}
