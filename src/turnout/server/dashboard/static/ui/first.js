// What to do when no request has come yet: a key, a first request, and a look at what it left behind.

import { get } from '../lib/api.js';
import { h } from '../lib/dom.js';
import { link } from '../lib/place.js';
import { card, code, empty } from './parts.js';

const EVERY_MS = 3000;
const QUESTION = 'Why is the sky blue? In one sentence.';

/** The steps, and a watch that calls `arrived` once a request is there. */
export async function first({ me, onLeave, arrived }) {
  const [models, routes] = await Promise.all([get('/models'), get('/routes')]);
  const model = routes.data.length ? `turnout/${(routes.data.find((each) => each.is_default) ?? routes.data[0]).id}` : models.data.find((each) => each.kind === 'chat')?.id;
  if (!model) {
    return card('No model can be asked yet', null, empty('The configuration names no provider with a model.', 'Write one under `providers` and `models`, try it with `turnout check`, and start the gateway again.'));
  }
  watch(onLeave, arrived);
  const keyed = Boolean(me.csrf);
  return card('No request has come yet', 'this page looks for the first one every few seconds', h('ol', { class: 'steps' },
    keyed ? h('li', {}, h('strong', {}, 'Make a key'), ' with the role ', h('code', {}, 'call'), ' under ', h('a', { href: link('keys') }, 'Keys & people'), ', and keep it where the shell finds it:', code('export TURNOUT_KEY=tn_…')) : null,
    h('li', {}, h('strong', {}, 'Ask something.'), keyed ? null : ' From this machine it needs no key.', code(curl(model, keyed))),
    h('li', {}, h('strong', {}, 'Point a client here.'), ' Every client of OpenAI, Anthropic or Gemini works with another address:', code(python(model, keyed))),
    h('li', {}, h('strong', {}, 'Look.'), ' It shows in ', h('a', { href: link('live') }, 'Live traffic'), ': where it went, why, and what it cost.')));
}

/** Looks until a request is there. */
function watch(onLeave, arrived) {
  const timer = setInterval(async () => {
    if (document.hidden) return;
    const { data } = await get('/requests', { limit: 1 }).catch(() => ({ data: [] }));
    if (data.length) {
      clearInterval(timer);
      arrived();
    }
  }, EVERY_MS);
  onLeave(() => clearInterval(timer));
}

function curl(model, keyed) {
  const body = JSON.stringify({ model, messages: [{ role: 'user', content: QUESTION }] });
  return [`curl ${location.origin}/v1/chat/completions`, "  -H 'content-type: application/json'", keyed && '  -H "authorization: Bearer $TURNOUT_KEY"', `  -d '${body}'`].filter(Boolean).join(' \\\n');
}

function python(model, keyed) {
  return ['from openai import OpenAI', ...(keyed ? ['import os'] : []), '', `client = OpenAI(base_url="${location.origin}/v1", api_key=${keyed ? 'os.environ["TURNOUT_KEY"]' : '"none"'})`,
    `answer = client.chat.completions.create(model="${model}", messages=[{"role": "user", "content": "${QUESTION}"}])`, 'print(answer.choices[0].message.content)'].join('\n');
}
