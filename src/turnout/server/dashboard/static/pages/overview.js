// What happened in the chosen time: spend, traffic, failures, latency, and who made it.

import { get } from '../lib/api.js';
import { h } from '../lib/dom.js';
import { brief, count, nusd, percent, seconds } from '../lib/format.js';
import { STEP_MS, asked, link, range } from '../lib/place.js';
import { bars } from '../charts/bars.js';
import { series } from '../charts/series.js';
import { card, empty, segments, later, tile } from '../ui/parts.js';
import { put } from '../lib/dom.js';

export default async function overview() {
  const now = range();
  const [totals, before, steps] = await Promise.all([
    get('/usage/totals', asked()),
    get('/usage/totals', { ...asked(), since: new Date(now.since.getTime() - now.span * 1000).toISOString(), until: now.since.toISOString(), latencies: 'false' }).catch(() => null),
    get('/usage/series', asked({ step: now.step })),
  ]);
  const sum = totals.data[0];
  if (!sum?.requests) {
    return [empty('No request arrived in this time.', h('p', {}, 'Point a client at this gateway, or choose a longer time.'))];
  }
  return [tiles(sum, before?.data[0]), charts(fill(steps.data, now), now), groups(sum)];
}

function tiles(sum, before) {
  const saved = sum.strong_nusd === null || sum.strong_nusd === undefined ? null : sum.strong_nusd - sum.routed_nusd;
  return h('div', { class: 'grid tiles' },
    tile('Spend', nusd(sum.cost_nusd), against(sum.cost_nusd, before?.cost_nusd)),
    tile('Requests', brief(sum.requests), against(sum.requests, before?.requests)),
    tile('Tokens in · out', `${brief(sum.input_tokens)} · ${brief(sum.output_tokens)}`, sum.cached_tokens ? `${percent(sum.cached_tokens / sum.input_tokens)} of input read from caches` : null),
    tile('Saved against always-strongest', nusd(saved), saved !== null && sum.strong_nusd ? `${percent(saved / sum.strong_nusd)} of ${nusd(sum.strong_nusd)}` : 'not known', saved > 0 ? 'good' : ''),
    tile('Failed', percent(sum.failed / sum.requests, 2), `${count(sum.failed)} requests`, sum.failed / sum.requests > 0.02 ? 'bad' : ''),
    tile('First token p50 · p95', `${seconds(sum.ttft?.p50)} · ${seconds(sum.ttft?.p95)}`, `p99 ${seconds(sum.ttft?.p99)}`),
    tile('Whole answer p50 · p95', `${seconds(sum.total?.p50)} · ${seconds(sum.total?.p95)}`, `p99 ${seconds(sum.total?.p99)}`),
    tile('Answered from cache', percent((sum.cache_hits ?? 0) / sum.requests), `${count(sum.cache_hits ?? 0)} requests`));
}

function against(now, before) {
  if (!before) return null;
  const change = now / before - 1;
  return `${change >= 0 ? '+' : '−'}${percent(Math.abs(change), 0)} against the time before`;
}

/** Put rows on every step of the range; a step without a row had no request. */
export function fill(rows, now) {
  const step = STEP_MS[now.step];
  const found = new Map(rows.map((row) => [new Date(row.at).getTime(), row]));
  const times = [];
  for (let at = Math.floor(now.since.getTime() / step) * step; at < now.until.getTime(); at += step) times.push(at);
  return { times, stepMs: step, of: (pick, missing = 0) => times.map((at) => (found.has(at) ? pick(found.get(at)) ?? null : missing)) };
}

function charts(at, now) {
  const per = now.step;
  const shared = { times: at.times, stepMs: at.stepMs };
  return h('div', { class: 'grid' },
    card('Spend', `per ${per}`, series({ ...shared, label: `Spend per ${per}`, write: (n) => nusd(n), stacked: true, lines: [{ name: 'spend', values: at.of((row) => row.cost_nusd) }] })),
    card('Requests', `per ${per}`, series({ ...shared, label: `Requests per ${per}`, write: brief, stacked: true, lines: [
      { name: 'served', values: at.of((row) => row.requests - row.failed), colour: 'var(--c1)' }, { name: 'failed', values: at.of((row) => row.failed), colour: 'var(--bad)' }] })),
    card('Time to the first token', 'of answers, by quantile', series({ ...shared, label: 'Time to the first token', write: seconds, lines: ['p50', 'p95', 'p99'].map((name) => ({ name, values: at.of((row) => row.ttft?.[name] ?? null, null) })) })),
    card('Time of the whole answer', 'by quantile', series({ ...shared, label: 'Time of the whole answer', write: seconds, lines: ['p50', 'p95', 'p99'].map((name) => ({ name, values: at.of((row) => row.total?.[name] ?? null, null) })) })),
    card('Tokens', `per ${per}`, series({ ...shared, label: `Tokens per ${per}`, write: brief, stacked: true, lines: [{ name: 'in', values: at.of((row) => row.input_tokens) }, { name: 'out', values: at.of((row) => row.output_tokens) }] })),
    card('Failed', `share per ${per}`, series({ ...shared, label: 'Share of requests that failed', write: (n) => percent(n), lines: [{ name: 'failed', values: at.of((row) => row.failed / row.requests, null), colour: 'var(--bad)' }] })));
}

function groups(sum) {
  const box = h('div');
  const errors = Object.entries(sum.errors ?? {}).sort((a, b) => b[1] - a[1]);
  const draw = (by) => put(box, card('Who made the spend', segments('Group by', { model: 'model', route: 'route', project: 'project', team: 'team', customer: 'customer', tag: 'tag', key: 'key' }, by, draw),
    later(async () => {
      const found = await get('/usage/top', asked({ by, limit: 10, latencies: 'false' }));
      return found.data.length ? bars(`Spend by ${by}`, found.data.map((row) => ({
        name: row.group[0] || '(none)', value: row.cost_nusd, note: `${brief(row.requests)} requests`,
        href: row.group[0] ? link('overview', '', { [by]: row.group[0] }) : undefined,
      })), nusd) : empty('Nothing was spent.');
    })));
  draw('model');
  return h('div', { class: 'grid wide-left' }, box, card('Failures', 'by class', errors.length
    ? bars('Failures by class', errors.map(([name, value]) => ({ name, value, colour: 'var(--bad)', href: link('live', '', { error: name }) })), count)
    : empty('Nothing failed.')));
}
