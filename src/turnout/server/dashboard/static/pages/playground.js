// Several models side by side: their answers as they stream, what they cost, how long they took, and why a route chose as it did.

import { get } from '../lib/api.js';
import { h, put } from '../lib/dom.js';
import { count, seconds, usd, words } from '../lib/format.js';
import { link } from '../lib/place.js';
import { card, chip, empty, problem } from '../ui/parts.js';

const MOST = 4;
const FIRST = 'Explain in two sentences why the sky is blue.';
let key = ''; // of this page alone: never stored

export default async function playground({ me, onLeave }) {
  const [models, routes] = await Promise.all([get('/models'), get('/routes')]);
  const names = [...routes.data.map((each) => `turnout/${each.id}`), ...models.data.filter((each) => each.kind === 'chat').map((each) => each.id)];
  if (!names.length) return [empty('No model can be asked here.')];
  const stop = new AbortController();
  onLeave(() => stop.abort());
  const picks = Array.from({ length: Math.min(MOST, 3) }, (_, at) => picker(names, at));
  const prompt = h('textarea', { rows: 4, name: 'prompt', required: true, 'aria-label': 'Prompt', value: FIRST });
  const system = h('input', { type: 'text', name: 'system', placeholder: 'System prompt (optional)', 'aria-label': 'System prompt' });
  const most = h('input', { type: 'number', value: 400, min: 1, max: 32000, 'aria-label': 'Most tokens', size: 6 });
  const secret = h('input', { type: 'password', autocomplete: 'off', placeholder: 'Turnout key with the role call', 'aria-label': 'Turnout key', value: key, oninput: () => { key = secret.value; } });
  const results = h('div', { class: 'columns', 'aria-live': 'polite' });
  const go = h('button', { class: 'main', type: 'submit' }, 'Ask them');
  const ask = async (event) => {
    event.preventDefault();
    go.disabled = true;
    const chosen = picks.map((pick) => pick.value).filter(Boolean);
    const columns = chosen.map((name) => column(name));
    put(results, columns.map((each) => each.element));
    const messages = [...(system.value ? [{ role: 'system', content: system.value }] : []), { role: 'user', content: prompt.value }];
    await Promise.all(columns.map((each) => run(each, { messages, max_tokens: Number(most.value) || 400 }, stop.signal)));
    go.disabled = false;
  };
  return [
    card('Ask', 'each model answers the same prompt', h('form', { class: 'form', onsubmit: ask },
      h('div', { class: 'row' }, picks), system, prompt,
      h('div', { class: 'row' }, me.csrf ? secret : null, h('label', { class: 'row' }, 'at most ', most, ' tokens'), go))),
    results,
  ];
}

function picker(names, at) {
  return h('select', { 'aria-label': `Model ${at + 1}` }, h('option', { value: '' }, 'nobody'), names.map((name, n) => h('option', { value: name, selected: n === at }, name)));
}

function column(name) {
  const answer = h('div', { class: 'answer' });
  const facts = h('div', { class: 'chips' }, chip('asking …'));
  const why = h('div');
  return { name, answer, facts, why, element: card(name, null, facts, answer, why) };
}

async function run(column_, body, signal) {
  const began = performance.now();
  let first = null;
  let usage = null;
  let finish = null;
  try {
    const response = await fetch('/v1/chat/completions', {
      method: 'POST', signal, credentials: 'omit',
      headers: { 'content-type': 'application/json', ...(key ? { authorization: `Bearer ${key}` } : {}), 'x-turnout-surface': 'playground' },
      body: JSON.stringify({ ...body, model: column_.name, stream: true, stream_options: { include_usage: true } }),
    });
    if (!response.ok) {
      const failure = JSON.parse(await response.text()).error;
      throw Object.assign(new Error(failure.message), { status: response.status });
    }
    const id = response.headers.get('x-turnout-request-id');
    for await (const event of events(response)) {
      if (event.error) throw new Error(event.error.message);
      usage = event.usage ?? usage;
      const [choice] = event.choices ?? [];
      finish = choice?.finish_reason ?? finish;
      if (choice?.delta?.content) {
        first ??= performance.now() - began;
        column_.answer.append(choice.delta.content);
      }
    }
    const total = (performance.now() - began) / 1000;
    put(column_.facts, chip(`first token ${seconds(first === null ? null : first / 1000)}`), chip(`whole answer ${seconds(total)}`),
      usage && chip(`${count(usage.prompt_tokens)} → ${count(usage.completion_tokens)} tokens`), finish && chip(words(finish), finish === 'stop' ? 'good' : 'warn'));
    if (id) await reasons(column_, id);
  } catch (error) {
    if (error.name === 'AbortError') return;
    put(column_.facts, chip('failed', 'bad'));
    column_.element.append(problem(error));
  }
}

async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    rest += value;
    const frames = rest.split('\n\n');
    rest = frames.pop();
    for (const frame of frames) {
      const data = frame.split('\n').filter((line) => line.startsWith('data:')).map((line) => line.slice(5).trim()).join('\n');
      if (data && data !== '[DONE]') yield JSON.parse(data);
    }
  }
}

// The Record is written behind the answer: ask for it until it is there.
async function reasons(column_, id) {
  for (let n = 0; n < 8; n += 1) {
    const { data } = await get('/requests', { search: id, limit: 1 });
    if (data.length) {
      const record = await get(`/requests/${encodeURIComponent(id)}`);
      column_.facts.append(chip(usd(record.cost_usd)), chip(record.outcome.model ?? '–', 'accent'));
      put(column_.why, h('p', {}, 'Chosen because ', words(record.decision?.reason), '. ', h('a', { href: link('request', id) }, 'The whole story')));
      return;
    }
    await new Promise((resolve) => { setTimeout(resolve, 400); });
  }
}
