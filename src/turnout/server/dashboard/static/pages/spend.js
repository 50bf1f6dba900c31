// Money: what was spent by whom, how budgets stand, and statements.

import { all, get, post, remove } from '../lib/api.js';
import { h, put } from '../lib/dom.js';
import { brief, usd, when, words } from '../lib/format.js';
import { asked, link, range } from '../lib/place.js';
import { usage } from '../lib/usage.js';
import { bars } from '../charts/bars.js';
import { series } from '../charts/series.js';
import { confirm, form, say } from '../ui/dialog.js';
import { by as groupedBy, card, chip, empty, later, meter, table, tile } from '../ui/parts.js';
import { fill } from './overview.js';

const DAY_S = 86400;
const HOUR_MS = 3600000;

export default async function spend({ me, reload }) {
  const now = range();
  const step = now.step === 'minute' ? { ...now, step: 'hour' } : now;
  const [totals, steps] = await Promise.all([
    usage('totals', asked({ latencies: 'false' })),
    usage('series', asked({ step: step.step, by: 'model', top: 7, latencies: 'false' })),
  ]);
  const sum = totals[0] ?? { cost: 0, requests: 0 };
  return [
    takeAway(now, step),
    h('div', { class: 'grid tiles' },
      tile('Spent', usd(sum.cost), now.name === 'custom' ? '' : `last ${now.name}`),
      tile('A day, at this pace', usd((sum.cost / now.span) * DAY_S)),
      tile('A month, at this pace', usd((sum.cost / now.span) * DAY_S * 30.44)),
      tile('A request', usd(sum.requests ? sum.cost / sum.requests : 0), `${brief(sum.requests)} requests`),
      tile('Saved against always-strongest', usd(sum.saved), null, 'good'),
      tile('At an unknown price', brief(sum.unpriced ?? 0), 'requests', sum.unpriced ? 'bad' : '')),
    h('div', { class: 'grid wide-left' }, over(steps, step), who()),
    limits(me, reload), statement(),
  ];
}

/** What is shown, as a file or on paper. */
function takeAway(now, step) {
  const hours = { since: hour(now.since, Math.floor), until: hour(now.until, Math.ceil) }; // sums are kept by the hour
  const file = new URLSearchParams({ ...asked({ by: 'team,model', per: step.step === 'day' ? 'day' : 'hour' }), ...hours, format: 'csv' });
  if (file.has('key')) { file.set('key_id', file.get('key')); file.delete('key'); }
  return h('div', { class: 'row spread' },
    h('span', { class: 'soft' }, `${when(now.since)} – ${when(now.until)}`, Object.entries(now.filters).map(([name, value]) => ` · ${name}: ${value}`)),
    h('span', { class: 'row no-print' }, h('a', { class: 'button', href: `/admin/v1/exports/spend?${file}`, download: true }, 'Download as CSV'),
      h('button', { type: 'button', onclick: () => window.print() }, 'Print')));
}

const hour = (at, round) => new Date(round(at.getTime() / HOUR_MS) * HOUR_MS).toISOString();

function over(rows, step) {
  const names = [...new Set(rows.map((row) => row.group))];
  const lines = names.map((name) => ({ name: name || '(none)', at: fill(rows.filter((row) => row.group === name), step) }));
  if (!lines.length) return card('Spend over time', null, empty('Nothing was spent in this time.'));
  return card('Spend over time', `per ${step.step}, the dearest models`, series({
    label: 'Spend by model over time', times: lines[0].at.times, stepMs: lines[0].at.stepMs, write: usd, stacked: true,
    lines: lines.map((line) => ({ name: line.name, values: line.at.of((row) => row.cost) })),
  }));
}

function who() {
  const box = h('div');
  const draw = (by) => put(box, card('Who spent it', groupedBy('Group by', ['team', 'project', 'customer', 'key', 'tag', 'route', 'model'], by, draw), later(async () => {
    const found = await usage('top', asked({ by, limit: 12, latencies: 'false' }));
    return found.length ? bars(`Spend by ${by}`, found.map((row) => ({ name: row.group || '(none)', value: row.cost, note: `${brief(row.requests)} requests`, href: row.group ? link('spend', '', { [by]: row.group }) : undefined })), usd) : empty('Nothing was spent.');
  })));
  draw('team');
  return box;
}

function limits(me, reload) {
  const may = ['owner', 'admin'].includes(me.role);
  const add = may ? h('span', { class: 'row' }, h('button', { type: 'button', onclick: () => newBudget(me, reload) }, 'New budget'), h('button', { type: 'button', onclick: () => newQuota(me, reload) }, 'New quota')) : null;
  return card('Budgets and quotas', add, later(async () => {
    const [standing, budgets, quotas] = await Promise.all([get('/standing'), all('/budgets').catch(() => []), all('/quotas').catch(() => [])]);
    const names = new Map(standing.data.some((each) => each.level === 'key') ? (await all('/keys').catch(() => [])).map((each) => [each.id, each.name]) : []);
    const own = new Map([...budgets.map((each) => [each.id, each]), ...quotas.map((each) => [each.id, each])]);
    const show = (row, value) => (row.of === 'usd' ? usd(value) : brief(value));
    const drop = (row) => confirm(`Remove ${row.id}?`, 'What was counted under it is no longer limited.', 'Remove', async () => {
      const document = own.get(row.id);
      await remove(`/${document.object}s/${encodeURIComponent(row.id)}`, document.version);
      say(`${row.id} is removed.`);
      reload();
    });
    return table([
      { name: 'id', title: 'Limit', sort: (row) => row.id, cell: (row) => [row.id, h('div', { class: 'soft' }, row.of === 'usd' ? (row.hard ? 'budget, refuses' : 'budget, only alerts') : `quota of ${words(row.of)}`)] },
      { name: 'subject', title: 'For', sort: (row) => `${row.level} ${row.subject}`, cell: (row) => `${row.level} ${names.get(row.subject) || row.subject}` },
      { name: 'used', title: 'Used', num: true, sort: (row) => Number(row.used), cell: (row) => show(row, row.used) },
      { name: 'limit', title: 'of', num: true, sort: (row) => Number(row.limit), cell: (row) => show(row, row.limit) },
      { name: 'share', title: 'Share', sort: (row) => row.share ?? 0, cell: (row) => meter(row.share ?? 1, `${row.id} of ${row.subject}: ${Math.round((row.share ?? 1) * 100)} % used`) },
      { name: 'window', title: 'Window', cell: (row) => [row.window, row.resets_at ? h('div', { class: 'soft' }, `anew ${when(row.resets_at)}`) : null] },
      { name: 'do', title: 'Action', cell: (row) => (may && own.has(row.id) ? h('button', { class: 'quiet', type: 'button', onclick: () => drop(row) }, 'Remove') : own.has(row.id) ? '' : chip('in the file')) },
    ], standing.data, { caption: 'Budgets and quotas', sort: 'share', empty: 'No limits. A budget refuses or downgrades what would exceed it, before it is sent.' });
  }));
}

const LEVELS = ['organisation', 'project', 'team', 'key', 'customer', 'tag', 'surface', 'provider', 'model', 'route'];
const levels = Object.fromEntries(LEVELS.map((each) => [each, each]));
const WINDOWS = { day: 'each day (UTC)', week: 'each week', month: 'each month', lifetime: 'for good', '1h': 'any hour', '24h': 'any 24 hours' };

async function newBudget(me, reload) {
  const made = await form('New budget', [
    { name: 'level', label: 'For each or one', type: 'select', options: levels, value: 'key' },
    { name: 'subject', label: 'Which', value: '*', required: true, help: '* = every one of them by itself' },
    { name: 'usd', label: 'US dollars', type: 'number', required: true, placeholder: '10.00' },
    { name: 'per', label: 'Window', type: 'select', options: WINDOWS, value: 'month' },
    { name: 'hard', label: 'Refuse what would exceed it', type: 'check', value: true },
  ], 'Make it', (values) => post('/budgets', { level: values.level, subject: values.subject, usd: values.usd, per: values.per, hard: values.hard, ...(me.organisation ? { organisation: me.organisation } : {}) }));
  if (made) { say('The budget is in force.'); reload(); }
}

async function newQuota(me, reload) {
  const made = await form('New quota', [
    { name: 'level', label: 'For each or one', type: 'select', options: levels, value: 'key' },
    { name: 'subject', label: 'Which', value: '*', required: true, help: '* = every one of them by itself' },
    { name: 'of', label: 'Of', type: 'select', options: { requests: 'requests', tokens: 'tokens', tokens_in: 'tokens in', tokens_out: 'tokens out', concurrent: 'requests at once' } },
    { name: 'limit', label: 'At most', type: 'number', required: true },
    { name: 'seconds', label: 'In how many seconds', type: 'number', value: 60 },
  ], 'Make it', (values) => post('/quotas', { level: values.level, subject: values.subject, of: values.of, limit: values.limit, per: `${values.seconds ?? 60}s`, ...(me.organisation ? { organisation: me.organisation } : {}) }));
  if (made) { say('The quota is in force.'); reload(); }
}

function statement() {
  const month = new Date().toISOString().slice(0, 7);
  const box = h('div');
  const ask = async (event) => {
    event.preventDefault();
    const { level, subject, month: chosen } = event.target.elements;
    const params = { month: chosen.value, [level.value]: subject.value.trim() };
    put(box, later(async () => {
      const found = await get('/statements', params);
      const lines = found.lines ?? found.data ?? [];
      return h('div', { class: 'stack' }, h('p', {}, `Total ${usd(found.total_usd ?? found.cost_usd)} `, h('a', { href: `/admin/v1/statements?${new URLSearchParams({ ...params, format: 'csv' })}`, download: true }, 'Download as CSV')),
        lines.length ? table(Object.keys(lines[0]).map((name) => ({ name, title: words(name), cell: (row) => String(row[name] ?? '–') })), lines, { caption: 'Statement' }) : empty('Nothing in this month.'));
    }));
  };
  return card('Statement', 'what one of them spent in a month', h('form', { class: 'row', onsubmit: ask },
    h('select', { name: 'level', 'aria-label': 'Whose' }, ['customer', 'team', 'project', 'organisation', 'key_id'].map((each) => h('option', { value: each }, words(each)))),
    h('input', { type: 'text', name: 'subject', required: true, placeholder: 'id', 'aria-label': 'Id' }),
    h('input', { type: 'text', name: 'month', value: month, pattern: '\\d{4}-\\d{2}', 'aria-label': 'Month, as 2026-01', size: 8 }),
    h('button', { type: 'submit' }, 'Show')), box);
}
