// What happened in the chosen time: spend, traffic, failures, latency, and who made it.

import { get } from '../lib/api.js';
import { usage } from '../lib/usage.js';
import { h } from '../lib/dom.js';
import { ago, brief, count, many, percent, seconds, usd } from '../lib/format.js';
import { STEP_MS, asked, link, range } from '../lib/place.js';
import { bars } from '../charts/bars.js';
import { series } from '../charts/series.js';
import { first } from '../ui/first.js';
import { by as groupedBy, card, empty, later, tile } from '../ui/parts.js';
import { put } from '../lib/dom.js';

export default async function overview({ me, onLeave, reload }) {
  const now = range();
  const [totals, before, steps] = await Promise.all([
    usage('totals', asked()),
    usage('totals', { ...asked(), since: new Date(now.since.getTime() - now.span * 1000).toISOString(), until: now.since.toISOString(), latencies: 'false' }).catch(() => []),
    usage('series', asked({ step: now.step })),
  ]);
  const [sum] = totals;
  if (!sum?.requests) {
    return [await nothing(now, () => first({ me, onLeave, arrived: reload }))];
  }
  return [tiles(sum, before[0]), charts(fill(steps, now), now), groups(sum)];
}

/** Nothing in this time: because nothing ever came, or because of what is chosen. */
async function nothing(now, begin) {
  const { data: [last] } = await get('/requests', { limit: 1 });
  if (!last) return begin();
  const chosen = Object.keys(now.filters).length;
  return card(null, null, empty(chosen ? 'No request of this time fits the filters.' : 'No request arrived in this time.',
    h('p', {}, 'The last one came ', h('a', { href: link('request', last.request_id) }, ago(last.at)), '.'),
    h('p', {}, h('a', { class: 'button', href: link('overview', '', { range: '30d', since: null, until: null }, false) }, 'Everything of 30 days'))));
}

function tiles(sum, before) {
  return h('div', { class: 'grid tiles four' },
    tile('Spend', usd(sum.cost), against(sum.cost, before?.cost)),
    tile('Requests', brief(sum.requests), against(sum.requests, before?.requests)),
    tile('Tokens in · out', `${brief(sum.input_tokens)} · ${brief(sum.output_tokens)}`, sum.cached_tokens ? `${percent(sum.cached_tokens / sum.input_tokens)} of input read from caches` : null),
    tile('Saved against always-strongest', usd(sum.saved), sum.strong ? `${percent(sum.saved / sum.strong)} of ${usd(sum.strong)}` : 'not known', sum.saved > 0 ? 'good' : ''),
    tile('Failed', percent(sum.failed / sum.requests, 2), many(sum.failed, 'request'), sum.failed / sum.requests > 0.02 ? 'bad' : ''),
    tile('First token p50 · p95', `${seconds(sum.ttft_s?.p50)} · ${seconds(sum.ttft_s?.p95)}`, `p99 ${seconds(sum.ttft_s?.p99)}`),
    tile('Whole answer p50 · p95', `${seconds(sum.total_s?.p50)} · ${seconds(sum.total_s?.p95)}`, `p99 ${seconds(sum.total_s?.p99)}`),
    tile('Answered from cache', percent((sum.cache_hits ?? 0) / sum.requests), many(sum.cache_hits ?? 0, 'request')));
}

function against(now, before) {
  if (!before || now / before > 20) return null;
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
    card('Spend', `per ${per}`, series({ ...shared, label: `Spend per ${per}`, write: usd, stacked: true, lines: [{ name: 'spend', values: at.of((row) => row.cost) }] })),
    card('Requests', `per ${per}`, series({ ...shared, label: `Requests per ${per}`, write: brief, stacked: true, lines: [
      { name: 'served', values: at.of((row) => row.requests - row.failed), colour: 'var(--c1)' }, { name: 'failed', values: at.of((row) => row.failed), colour: 'var(--bad)' }] })),
    card('Time to the first token', 'of answers, by quantile', series({ ...shared, label: 'Time to the first token', write: seconds, lines: ['p50', 'p95', 'p99'].map((name) => ({ name, values: at.of((row) => row.ttft_s?.[name] ?? null, null) })) })),
    card('Time of the whole answer', 'by quantile', series({ ...shared, label: 'Time of the whole answer', write: seconds, lines: ['p50', 'p95', 'p99'].map((name) => ({ name, values: at.of((row) => row.total_s?.[name] ?? null, null) })) })),
    card('Tokens', `per ${per}`, series({ ...shared, label: `Tokens per ${per}`, write: brief, stacked: true, lines: [{ name: 'in', values: at.of((row) => row.input_tokens) }, { name: 'out', values: at.of((row) => row.output_tokens) }] })),
    card('Failed', `share per ${per}`, series({ ...shared, label: 'Share of requests that failed', write: (n) => percent(n), least: 0.04, lines: [{ name: 'failed', values: at.of((row) => row.failed / row.requests, null), colour: 'var(--bad)' }] })));
}

function groups(sum) {
  const box = h('div');
  const errors = Object.entries(sum.errors ?? {}).sort((a, b) => b[1] - a[1]);
  const draw = (by) => put(box, card('Who made the spend', groupedBy('Group by', ['model', 'route', 'project', 'team', 'customer', 'tag', 'key'], by, draw),
    later(async () => {
      const found = await usage('top', asked({ by, limit: 10, latencies: 'false' }));
      return found.length ? bars(`Spend by ${by}`, found.map((row) => ({
        name: row.group || '(none)', value: row.cost, note: `${brief(row.requests)} requests`,
        href: row.group ? link('overview', '', { [by]: row.group }) : undefined,
      })), usd) : empty('Nothing was spent.');
    })));
  draw('model');
  return h('div', { class: 'grid wide-left' }, box, card('Failures', 'by class', errors.length
    ? bars('Failures by class', errors.map(([name, value]) => ({ name, value, colour: 'var(--bad)', href: link('live', '', { error: name }) })), count)
    : empty('Nothing failed.')));
}
