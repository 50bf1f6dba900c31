// Deployments as they stand: health, latency, room under rate limits, prices, retirement.

import { get, post } from '../lib/api.js';
import { h } from '../lib/dom.js';
import { NONE, ago, brief, count, percent, seconds, usd, words } from '../lib/format.js';
import { asked, link } from '../lib/place.js';
import { usage } from '../lib/usage.js';
import { scatter } from '../charts/scatter.js';
import { confirm, say } from '../ui/dialog.js';
import { card, chip, chips, empty, table, tile } from '../ui/parts.js';

const SOON_DAYS = 60;

export default async function models({ me, reload }) {
  const [deployments, catalogue, providers, used] = await Promise.all([
    get('/deployments'), get('/models'), get('/providers'),
    usage('totals', asked({ by: 'model' })).catch(() => []),
  ]);
  const known = new Map(catalogue.data.map((each) => [each.id, each]));
  const use = new Map(used.map((row) => [row.group, row]));
  const rows = deployments.data.map((each) => ({ ...each, about: known.get(each.model) ?? {}, use: use.get(each.model) }));
  return [
    summary(rows),
    card('Deployments', 'as this process sees them now', table(columns(me, reload), rows, { caption: 'Deployments', sort: 'calls' })),
    plots(rows),
    card('Providers', null, table([
      { name: 'id', title: 'Provider', cell: (row) => row.id },
      { name: 'wire', title: 'Wire format', cell: (row) => words(row.wire_format) },
      { name: 'auth', title: 'Credential', cell: (row) => (row.has_credential || row.auth === 'none' ? chip(row.auth === 'none' ? 'needs none' : 'present', 'good') : chip('missing', 'bad')) },
      { name: 'n', title: 'Deployments', num: true, sort: (row) => row.deployments.length, cell: (row) => count(row.deployments.length) },
    ], providers.data, { caption: 'Providers' })),
  ];
}

function summary(rows) {
  const open = rows.filter((row) => row.live.state !== 'closed').length;
  const unwell = rows.filter((row) => row.live.demoted).length;
  const retiring = rows.filter((row) => daysLeft(row.about.retires_on) !== null && daysLeft(row.about.retires_on) < SOON_DAYS);
  return h('div', { class: 'grid tiles' },
    tile('Deployments', count(rows.length), `${new Set(rows.map((row) => row.provider)).size} providers`),
    tile('Circuit open', count(open), open ? 'asked by nobody for now' : 'all are asked', open ? 'bad' : 'good'),
    tile('Unwell', count(unwell), 'asked last', unwell ? 'bad' : ''),
    tile('Retire soon', count(retiring.length), `within ${SOON_DAYS} days`, retiring.length ? 'bad' : ''));
}

const daysLeft = (date) => (date ? Math.round((new Date(date) - Date.now()) / 86400000) : null);

function columns(me, reload) {
  return [
    { name: 'id', title: 'Deployment', sort: (row) => row.id, cell: (row) => [h('a', { href: link('overview', '', { model: row.model }) }, row.id), h('div', { class: 'soft' }, [row.region, ...row.tags].filter(Boolean).join(' · '))] },
    { name: 'state', title: 'State', sort: (row) => row.live.state, cell: (row) => state(row, me, reload) },
    { name: 'calls', title: 'Calls seen', num: true, sort: (row) => row.live.n_observed ?? 0, cell: (row) => brief(row.live.n_observed ?? 0) },
    { name: 'errors', title: 'Errors', num: true, sort: (row) => row.live.error_ratio ?? 0, cell: (row) => percent(row.live.error_ratio) },
    { name: 'first', title: 'First p50 · p95', num: true, sort: (row) => row.live.ttft_p50_s ?? null, cell: (row) => pair(row.live.ttft_p50_s, row.live.ttft_p95_s) },
    { name: 'whole', title: 'Whole p50 · p95', num: true, sort: (row) => row.live.total_p50_s ?? null, cell: (row) => pair(row.live.total_p50_s, row.live.total_p95_s) },
    { name: 'open', title: 'In flight', num: true, sort: (row) => row.live.in_flight ?? 0, cell: (row) => count(row.live.in_flight ?? 0) },
    { name: 'room', title: 'Room left', num: true, cell: (row) => room(row.live) },
    { name: 'price', title: '$ per M in · out', num: true, sort: (row) => Number(row.about.price?.input ?? 0), cell: (row) => (row.about.price ? `${usd(row.about.price.input)} · ${usd(row.about.price.output)}` : chip('unknown', 'warn')) },
    { name: 'window', title: 'Window', num: true, sort: (row) => row.about.context_window ?? 0, cell: (row) => brief(row.about.context_window) },
    { name: 'retires', title: 'Retires', sort: (row) => row.about.retires_on ?? '9999', cell: (row) => retires(row.about.retires_on) },
  ];
}

const pair = (a, b) => (a === null || a === undefined ? NONE : `${seconds(a)} · ${seconds(b)}`);

function room(live) {
  const parts = [live.remaining_requests !== null && live.remaining_requests !== undefined && `${brief(live.remaining_requests)} requests`,
    live.remaining_tokens !== null && live.remaining_tokens !== undefined && `${brief(live.remaining_tokens)} tokens`].filter(Boolean);
  return parts.join(', ') || NONE;
}

function retires(date) {
  if (!date) return NONE;
  const left = daysLeft(date);
  return chip(left < 0 ? `retired ${ago(date)}` : ago(date), left < SOON_DAYS ? 'bad' : left < 180 ? 'warn' : '');
}

function state(row, me, reload) {
  const { live } = row;
  if (live.state === 'closed') return chips(chip('up', 'good'), live.demoted && chip('asked last', 'warn'));
  const reset = () => confirm(`Ask ${row.id} again?`, 'Its circuit is closed in this process; it opens again when calls fail.', 'Close the circuit', async () => {
    await post('/breakers/reset', { deployment: row.id });
    say(`${row.id} is asked again.`);
    reload();
  });
  return chips(chip(words(live.state), 'bad'), ['owner', 'admin', 'operator'].includes(me.role) && h('button', { class: 'quiet', type: 'button', onclick: reset }, 'Reset'));
}

function plots(rows) {
  const seen = rows.filter((row) => row.use?.requests && row.about.price);
  if (!seen.length) return card('Price and latency', null, empty('Nothing was asked in this time.'));
  const points = [...new Map(seen.map((row) => [row.model, row])).values()];
  return h('div', { class: 'grid' },
    card('What an answer costs, how long it takes', 'in the chosen time', scatter({
      label: 'Mean cost against the median time of an answer', xName: 'mean cost per request', yName: 'median time', writeX: usd, writeY: seconds,
      points: points.filter((row) => row.use.total_s?.p50).map((row) => ({ name: row.model, x: row.use.cost / row.use.requests, y: row.use.total_s.p50, high: row.use.total_s.p95, low: row.use.total_s.p50 })),
    })),
    card('Latency by model', 'of whole answers, in the chosen time', table([
      { name: 'model', title: 'Model', cell: (row) => row.model },
      ...['p50', 'p95', 'p99'].map((name) => ({ name, title: name, num: true, sort: (row) => row.use.total_s?.[name] ?? 0, cell: (row) => seconds(row.use.total_s?.[name]) })),
      { name: 'n', title: 'Requests', num: true, sort: (row) => row.use.requests, cell: (row) => brief(row.use.requests) },
    ], points, { caption: 'Latency by model', sort: 'p95' })));
}
