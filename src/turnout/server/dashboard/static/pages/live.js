// Requests as they come in, newest first.

import { get } from '../lib/api.js';
import { h, put } from '../lib/dom.js';
import { clock, count, seconds, usd, when, words } from '../lib/format.js';
import { RANGES, asked, change, here, link, range } from '../lib/place.js';
import { chip, empty, problem, table } from '../ui/parts.js';

const EVERY_MS = 2000;
const PAGE = 100;

const COLUMNS = [
  { name: 'at', title: 'Arrived', tight: true, cell: (row) => h('a', { href: link('request', row.request_id), title: when(row.at) }, clock(row.at)) },
  { name: 'model', title: 'Answered by', cell: (row) => [row.model ?? '–', h('div', { class: 'soft' }, [row.provider, row.route && `route ${row.route}`].filter(Boolean).join(' · '))] },
  { name: 'end', title: 'Ended', cell: (row) => (row.error ? chip(words(row.error), 'bad') : row.fallbacks ? chip(`served, ${row.fallbacks} fallback${row.fallbacks > 1 ? 's' : ''}`, 'warn') : chip('served', 'good')) },
  { name: 'cost', title: 'Cost', num: true, sort: (row) => Number(row.cost_usd ?? -1), cell: (row) => usd(row.cost_usd) },
  { name: 'in', title: 'Tokens in', num: true, sort: (row) => row.input_tokens, cell: (row) => count(row.input_tokens) },
  { name: 'out', title: 'out', num: true, sort: (row) => row.output_tokens, cell: (row) => count(row.output_tokens) },
  { name: 'ttft', title: 'First', num: true, sort: (row) => row.ttft_s, cell: (row) => seconds(row.ttft_s) },
  { name: 'total', title: 'Whole', num: true, sort: (row) => row.total_s, cell: (row) => seconds(row.total_s) },
  { name: 'who', title: 'For', cell: (row) => [row.customer, row.team, row.project, row.key].filter(Boolean).join(' · ') || '–' },
];

export default async function live({ onLeave }) {
  const list = h('div', { class: 'card' });
  const trouble = h('div', { class: 'trouble' });
  const note = h('p', { class: 'soft', role: 'status' });
  const search = here().query.get('text') ?? '';
  const order = here().query.get('order') ?? 'newest';
  const error = here().query.get('error') ?? '';
  let paused = order !== 'newest' || !(range().name in RANGES);
  let timer = null;
  let page = { data: [] };

  const load = async () => {
    const params = { ...asked(), search, error, limit: PAGE, order: order === 'newest' ? null : order };
    if (range().name in RANGES) delete params.until;
    page = await get('/requests', params);
    draw();
    further.hidden = !page.has_more;
  };
  let shown = null;
  const kept = {};
  const draw = () => { // only what changed moves: order, place and keyboard stay
    const now = JSON.stringify(page.data.map((row) => [row.request_id, row.error, row.cost_usd]));
    if (now === shown) return;
    shown = now;
    const held = list.contains(document.activeElement) ? document.activeElement.getAttribute('href') : null;
    const left = list.firstElementChild?.scrollLeft ?? 0;
    put(list, page.data.length
      ? table(COLUMNS, page.data, { href: (row) => link('request', row.request_id), caption: 'Requests', kept })
      : empty(search || error ? 'No request matches.' : 'No request arrived in this time.', search || error ? 'Ids, models, providers, tags, customers and classes of errors are looked through.' : 'What comes shows here within two seconds.'));
    list.firstElementChild.scrollLeft = left;
    if (held) list.querySelector(`a[href="${CSS.escape(held)}"]`)?.focus({ preventScroll: true });
  };
  const again = async () => {
    if (!paused && !document.hidden) {
      try {
        await load();
        put(trouble);
      } catch (failure) {
        put(trouble, problem(failure)); // what is there stays
      }
    }
    note.textContent = paused ? 'Stands still.' : `Looks every ${EVERY_MS / 1000} s.`;
    if (!gone) timer = setTimeout(again, EVERY_MS);
  };
  const more = async () => {
    pause(true);
    try {
      const next = await get('/requests', { ...asked(), search, error, limit: PAGE, after: page.next, order: order === 'newest' ? null : order });
      page = { ...next, data: [...page.data, ...next.data] };
      put(trouble);
    } catch (failure) {
      put(trouble, problem(failure));
    }
    draw();
    further.hidden = !page.has_more;
  };
  const pause = (now) => {
    paused = now;
    button.textContent = paused ? 'Go on' : 'Pause';
    note.textContent = paused ? 'Stands still.' : '';
  };
  const button = h('button', { type: 'button', onclick: () => pause(!paused) }, paused ? 'Go on' : 'Pause');
  const further = h('div', {}, h('button', { type: 'button', onclick: more }, 'Show more'));
  let gone = false;
  onLeave(() => {
    gone = true; // what is under way would begin anew
    clearTimeout(timer);
  });
  await load();
  if (!gone) timer = setTimeout(again, EVERY_MS);
  return [
    h('form', { class: 'row', role: 'search', onsubmit: (event) => { event.preventDefault(); change({ text: event.target.elements.text.value.trim(), order, error }); } },
      h('input', { type: 'search', name: 'text', value: search, placeholder: 'id, model, tag, customer, error …', 'aria-label': 'Search in what is known of requests', size: 36 }),
      h('button', { type: 'submit' }, 'Search'),
      h('select', { 'aria-label': 'Order', onchange: (event) => change({ text: search, error, order: event.target.value }) },
        Object.entries({ newest: 'newest first', dearest: 'dearest first', oldest: 'oldest first' }).map(([value, title]) => h('option', { value, selected: value === order }, title))),
      error && h('button', { type: 'button', class: 'chip bad', onclick: () => change({ text: search, order, error: null }) }, `${words(error)} ×`),
      button, note),
    trouble, list,
    further,
  ];
}
