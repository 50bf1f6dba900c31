// Answers given again: how often, what that saved, how sure it is, and letting go of what is kept.

import { get, remove } from '../lib/api.js';
import { h } from '../lib/dom.js';
import { NONE, brief, count, nusd, percent, words } from '../lib/format.js';
import { asked, link, range } from '../lib/place.js';
import { usage } from '../lib/usage.js';
import { series } from '../charts/series.js';
import { form, say } from '../ui/dialog.js';
import { card, chip, empty, table, tile } from '../ui/parts.js';
import { fill } from './overview.js';

const UNITS = ['bytes', 'KiB', 'MiB', 'GiB'];

export default async function cache({ me, reload }) {
  const now = range();
  const [held, totals, steps, byRoute] = await Promise.all([
    get('/cache'), usage('totals', asked({ latencies: 'false' })),
    usage('series', asked({ step: now.step, latencies: 'false' })), usage('totals', asked({ by: 'route', latencies: 'false' })),
  ]);
  const [sum] = totals;
  return [
    tiles(held, sum),
    sum?.cache_hits ? charts(fill(steps, now), now) : card('Given again over time', null, empty('No answer was given again in this time.', '`cache: exact` on a route lets it answer the same question twice.')),
    h('div', { class: 'grid' }, routes(byRoute), meaning(held.since_start)),
    ['owner', 'admin', 'operator'].includes(me.role) ? letGo(held, byRoute, me, reload) : null,
  ];
}

function tiles(held, sum) {
  const start = held.since_start;
  const failed = (start?.store_failures ?? 0) + (start?.forged ?? 0);
  return h('div', { class: 'grid tiles' },
    tile('Given again', percent(sum?.requests ? (sum.cache_hits ?? 0) / sum.requests : null), sum ? `${count(sum.cache_hits ?? 0)} of ${count(sum.requests)} requests` : 'no request in this time'),
    tile('Answers kept', count(held.answers), `${size(held.bytes)} in ${held.store}`),
    start && tile('Saved', nusd(start.saved_nusd), 'by this process since it started', start.saved_nusd ? 'good' : ''),
    start && tile('Since the start', count(Object.values(start.hits).reduce((a, b) => a + b, 0)), Object.entries(start.hits).map(([name, n]) => `${count(n)} ${words(name)}`).join(', ') || 'nothing given again yet'),
    start && tile('Store', failed ? `${count(failed)} failures` : 'well', start.forged ? `${count(start.forged)} with a wrong signature` : 'failures count as misses', failed ? 'bad' : 'good'));
}

function size(bytes) {
  const step = Math.min(UNITS.length - 1, Math.floor(Math.log2(Math.max(1, bytes)) / 10));
  return `${brief(bytes / 1024 ** step)} ${UNITS[step]}`;
}

function charts(at, now) {
  const shared = { times: at.times, stepMs: at.stepMs };
  return h('div', { class: 'grid' },
    card('Hit rate', `share of requests per ${now.step}`, series({ ...shared, label: 'Share of requests answered from the cache', write: (n) => percent(n), lines: [{ name: 'hit rate', values: at.of((row) => (row.cache_hits ?? 0) / row.requests, null) }] })),
    card('Given again', `requests per ${now.step}`, series({ ...shared, label: `Requests answered from the cache per ${now.step}`, write: brief, stacked: true, lines: [
      { name: 'from the cache', values: at.of((row) => row.cache_hits ?? 0), colour: 'var(--c1)' }, { name: 'asked', values: at.of((row) => row.requests - (row.cache_hits ?? 0)), colour: 'var(--c8)' }] })));
}

function routes(rows) {
  return card('By route', 'in the chosen time', table([
    { name: 'route', title: 'Route', sort: (row) => row.group, cell: (row) => (row.group ? h('a', { href: link('cache', '', { route: row.group }) }, row.group) : '(models by name)') },
    { name: 'requests', title: 'Requests', num: true, sort: (row) => row.requests, cell: (row) => count(row.requests) },
    { name: 'hits', title: 'Given again', num: true, sort: (row) => row.cache_hits ?? 0, cell: (row) => count(row.cache_hits ?? 0) },
    { name: 'rate', title: 'Rate', num: true, sort: (row) => (row.cache_hits ?? 0) / row.requests, cell: (row) => percent((row.cache_hits ?? 0) / row.requests) },
  ], rows, { caption: 'Hit rate by route', sort: 'hits', empty: 'No request in this time.' }));
}

// Questions that mean the same: how often another answer would have been right.
function meaning(start) {
  const rows = Object.entries(start?.compared ?? {}).map(([route, found]) => ({ route, ...found }));
  return card('Questions that mean the same', start ? `${count(start.questions)} questions known` : null, rows.length ? table([
    { name: 'route', title: 'Route', cell: (row) => row.route },
    { name: 'n', title: 'Near misses compared', num: true, sort: (row) => row.n, cell: (row) => count(row.n) },
    { name: 'false', title: 'Were wrong', num: true, sort: (row) => row.false, cell: (row) => (row.n ? `${count(row.false)} (${percent(row.false / row.n)})` : NONE) },
    { name: 'state', title: 'State', cell: (row) => (row.off ? chip('off: too many were wrong', 'bad') : chip('serves', 'good')) },
  ], rows, { caption: 'Near misses by route', sort: 'n' }) : empty('No near question was compared.', '`cache: semantic` on a route looks for them; every comparison is counted here.'));
}

function letGo(held, rows, me, reload) {
  const names = Object.fromEntries([['', 'every route'], ...rows.filter((row) => row.group).map((row) => [row.group, row.group])]);
  const ask = async () => {
    const gone = await form('Let go of answers', [
      { name: 'route', label: 'Of the route', type: 'select', options: names },
      ...(me.organisation ? [] : [{ name: 'organisation', label: 'Of the organisation', help: 'empty = of all' }]),
      { name: 'project', label: 'Of the project', help: 'empty = of all' },
      { name: 'prefix', label: 'Whose key begins with', help: 'the digits of x-turnout-cache-key; empty = any' },
    ], 'Let go', (values) => {
      const chosen = new URLSearchParams(Object.entries(values).filter(([, value]) => value));
      return remove(`/cache${chosen.size ? `?${chosen}` : ''}`);
    }, 'The next such request is asked for again. This is put on record.');
    if (gone) {
      say(`${count(gone.answers)} answers are gone.`);
      reload();
    }
  };
  return card('Let go', h('button', { class: 'danger', type: 'button', onclick: ask, disabled: !held.answers }, 'Let go of answers'), h('p', { class: 'soft' }, 'All answers, or those of a route, a project, or one key.'));
}
