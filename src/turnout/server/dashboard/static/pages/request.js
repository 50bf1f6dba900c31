// One request as a story: who asked for what, what was decided and why, what happened, what it would have cost elsewhere.

import { get, post } from '../lib/api.js';
import { h, put } from '../lib/dom.js';
import { count, many, nusd, percent, seconds, usd, when, words } from '../lib/format.js';
import { link } from '../lib/place.js';
import { timeline, tree } from '../charts/story.js';
import { form, say } from '../ui/dialog.js';
import { card, chip, chips, empty, facts, later, table, tile } from '../ui/parts.js';

export default async function request({ id }) {
  const record = await get(`/requests/${encodeURIComponent(id)}`);
  const { decision, outcome, attempts = [] } = record;
  return [
    head(record),
    decision && why(record, decision),
    attempts.length ? card('What happened', `${many(attempts.length, 'attempt')} in ${seconds(outcome.total_s)}`, timeline({ ...record, attempts }), attemptTable(attempts)) : null,
    h('div', { class: 'grid' }, asked(record), decision && signals(decision), guards(record)),
    h('div', { class: 'grid' }, content(record), feedback(record)),
  ];
}

function head(record) {
  const { outcome, decision } = record;
  const alternatives = (decision?.candidates ?? []).map((each) => each.cost_nusd?.mean).filter((cost) => cost !== null && cost !== undefined);
  const dearest = Math.max(...alternatives);
  return h('div', { class: 'grid tiles' },
    tile('Ended', outcome.error ? words(outcome.error) : 'served', outcome.finish ? `finish: ${words(outcome.finish)}` : null, outcome.error ? 'bad' : 'good'),
    tile('Answered by', outcome.model ?? '–', outcome.provider),
    tile('Cost', nusd(outcome.cost_nusd), outcome.cost_state === 'exact' ? 'exact' : words(outcome.cost_state)),
    tile('Dearest candidate', alternatives.length ? nusd(dearest) : '–', alternatives.length && outcome.cost_nusd && dearest >= outcome.cost_nusd ? `${(dearest / outcome.cost_nusd).toFixed(1)} × of what it cost` : 'as predicted'),
    tile('First token', seconds(outcome.ttft_s), `whole answer ${seconds(outcome.total_s)}`),
    tile('Tokens in · out', `${count(record.input_tokens)} · ${count(record.output_tokens)}`, `ours: ${seconds(outcome.overhead_s)} of the time`));
}

function why(record, decision) {
  const first = decision.chosen?.[0];
  const story = `${first ?? 'Nothing'} because ${words(decision.reason)}`
    + (decision.rule ? ` (${decision.rule})` : '') + (decision.abstained ? `; the router abstained: ${words(decision.abstained)}` : '');
  const binding = decision.objective?.binding ?? [];
  return h('div', { class: 'grid wide-left' },
    card('Why this model', h('span', {}, decision.asked.source === 'model' || decision.route === 'direct' ? 'named by the client' : ['route ', h('a', { href: link('routes', decision.route) }, decision.route)], ` · ${decision.strategy} · version ${decision.policy_version ?? 0}`),
      h('div', { class: 'stack' }, h('p', {}, story),
        chips(binding.map((each) => chip(`held by ${words(each)}`, 'warn')), (decision.objective?.relaxed ?? []).map((each) => chip(`let go: ${words(each)}`, 'warn')),
          decision.certificate && chip(decision.certificate.uncertified ? `no promise: ${words(decision.certificate.uncertified)}` : `within certificate ${decision.certificate.id}`, decision.certificate.uncertified ? 'warn' : 'good')),
        candidates(decision))),
    card('The plan', 'what would be tried, in order', tree(decision.plan, record.attempts)));
}

const STATUS_TONE = { chosen: 'good', eligible: 'accent', filtered: '', cooling: 'warn', lost: '' };

function candidates(decision) {
  const names = [...new Set(decision.candidates.flatMap((each) => Object.keys(each.scores ?? {})))];
  const chosen = decision.candidates.find((each) => each.status === 'chosen')?.cost_nusd?.mean;
  const has = (pick) => decision.candidates.some((row) => (pick(row) ?? null) !== null);
  const columns = [
    { name: 'id', title: 'Candidate', cell: (row) => [row.id, row.filters?.length ? h('div', { class: 'soft' }, row.filters.map((each) => `${each.filter}: ${words(each.reason)}`).join('; ')) : null] },
    { name: 'status', title: 'Status', sort: (row) => row.status, cell: (row) => chip(words(row.status), STATUS_TONE[row.status]) },
    has((row) => row.utility) && { name: 'utility', title: 'Utility', num: true, sort: (row) => row.utility ?? null, cell: (row) => number(row.utility) },
    ...names.map((name) => ({ name: `score ${name}`, title: words(name), num: true, sort: (row) => row.scores?.[name] ?? null, cell: (row) => number(row.scores?.[name]) })),
    has((row) => row.q) && { name: 'q', title: 'Quality', num: true, sort: (row) => row.q ?? null, cell: (row) => (row.q === undefined ? '–' : `${row.q.toFixed(3)}${row.sd ? ` ± ${row.sd.toFixed(3)}` : ''}`) },
    { name: 'cost', title: 'Would cost', num: true, sort: (row) => row.cost_nusd?.mean ?? null, cell: (row) => [nusd(row.cost_nusd?.mean), chosen && row.cost_nusd?.mean ? h('div', { class: 'soft' }, `× ${(row.cost_nusd.mean / chosen).toFixed(2)}`) : null] },
    has((row) => row.ttft_s?.p50) && { name: 'ttft', title: 'First token p50', num: true, sort: (row) => row.ttft_s?.p50 ?? null, cell: (row) => seconds(row.ttft_s?.p50) },
    { name: 'health', title: 'Health', cell: (row) => (row.health ? [row.health.state === 'closed' ? 'up' : words(row.health.state), row.health.error_rate ? h('div', { class: 'soft' }, `${percent(row.health.error_rate)} errors`) : null] : '–') },
  ];
  return h('div', { class: 'card' }, table(columns.filter(Boolean), decision.candidates, { caption: 'Candidates with their scores', sort: names.length ? 'utility' : null }));
}

const number = (n) => (n === null || n === undefined ? '–' : Number(n.toPrecision(4)).toString());

function attemptTable(attempts) {
  return h('div', { class: 'card', style: { marginTop: '12px' } }, table([
    { name: 'n', title: '#', cell: (row) => String(row.n) },
    { name: 'deployment', title: 'Deployment', cell: (row) => [row.deployment, row.retry_of ? h('div', { class: 'soft' }, `retry of ${row.retry_of}`) : null] },
    { name: 'outcome', title: 'Outcome', cell: (row) => chip(words(row.error ?? row.verdict ?? row.outcome), row.outcome === 'ok' ? 'good' : row.outcome === 'failed' ? 'bad' : 'warn') },
    { name: 'status', title: 'HTTP', num: true, cell: (row) => row.status ?? '–' },
    { name: 'start', title: 'Began', num: true, cell: (row) => seconds(row.start_s) },
    { name: 'ttft', title: 'First', num: true, cell: (row) => seconds(row.ttft_s) },
    { name: 'duration', title: 'Took', num: true, cell: (row) => seconds(row.duration_s) },
    { name: 'cost', title: 'Cost', num: true, cell: (row) => nusd(row.cost_nusd) },
  ], attempts, { caption: 'Attempts' }));
}

function asked(record) {
  const { decision } = record;
  const input = decision?.input;
  return card('What was asked for', null, facts([
    ['Arrived', when(record.at)], ['Endpoint', `${record.endpoint}${record.dialect ? ` in ${words(record.dialect)}` : ''}`],
    ['Model', decision && `${decision.asked.model} (${decision.asked.source})`],
    ['Size', input && `${count(input.n_tokens)} tokens, ${many(input.n_messages ?? 0, 'message')}${input.n_tools ? `, ${input.n_tools} tools` : ''}${input.stream ? ', stream' : ''}${input.structured ? ', structured' : ''}`],
    ['Constraints', decision && pairs(decision.asked.constraints)],
    ['Key', record.principal], ['Organisation', record.organisation], ['Project', record.project], ['Team', record.team], ['Customer', record.customer],
    ['Surface', record.surface], ['Tags', record.tags?.join(', ')], ['Metadata', pairs(record.metadata)],
    ['Client’s id', record.client_request_id], ['Trace', record.trace_id],
    ['Left out', record.dropped_params?.join(', ')], ['Warnings', record.warnings?.map(words).join(', ')],
  ]));
}

const pairs = (map) => Object.entries(map ?? {}).map(([name, value]) => `${words(name)} ${typeof value === 'object' ? JSON.stringify(value) : value}`).join(', ');

function signals(decision) {
  const found = Object.entries(decision.signals ?? {});
  return card('Signals', 'what the decision read from the request', found.length
    ? facts(found.map(([name, each]) => [name, each.error ? `absent: ${words(each.error)}` : `${short(each.value)}${each.confidence !== undefined && each.confidence < 1 ? ` (${percent(each.confidence)} sure)` : ''}`]))
    : empty('This strategy reads none.'));
}

function short(value) {
  const text = typeof value === 'string' ? value : JSON.stringify(value) ?? '–';
  return text.length > 160 ? `${text.slice(0, 160)}…` : text;
}

function guards(record) {
  const found = record.guards ?? [];
  return found.length ? card('Guards', 'in the order they were asked', table([
    { name: 'name', title: 'Guard', cell: (row) => `${row.name} (${row.type})` },
    { name: 'stage', title: 'Stage', cell: (row) => row.stage },
    { name: 'action', title: 'Did', cell: (row) => chip(words(row.action), row.action === 'pass' ? 'good' : row.action === 'block' ? 'bad' : 'warn') },
    { name: 'found', title: 'Found', cell: (row) => pairs(row.found) || 'nothing' },
  ], found, { caption: 'Guards' })) : null;
}

function content(record) {
  const box = h('div', {}, h('p', { class: 'soft' }, 'Text is stored only where a route asks for it. Looking is put on record with your reason.'));
  const look = async () => {
    const text = await form('Look at the stored text', [{ name: 'reason', label: 'Why do you need to see it?', required: true, help: '8 to 500 characters; the audit log keeps it' }], 'Show',
      (values) => get(`/requests/${encodeURIComponent(record.request_id)}/content`, values));
    if (text) put(box, h('h3', {}, 'Prompt'), h('pre', {}, text.content.request ?? '–'), h('h3', {}, 'Answer'), h('pre', {}, text.content.response ?? '–'));
  };
  return card('Prompt and answer', h('button', { type: 'button', onclick: look }, 'Look'), box);
}

/** One word on an answer: judges say a score, users show something, clients say what they say. */
function word(each) {
  const by = each.source ? ` (${each.source})` : '';
  if (each.kind.startsWith('judge')) return `judged ${each.score?.toFixed(2) ?? '–'}${each.value?.against ? ` against ${each.value.against}` : ''}${by}`;
  if (each.kind.startsWith('implicit.')) return `sign of displeasure: ${words(each.kind.slice(9))}`;
  return `${words(each.kind)}${each.value === undefined || each.value === null ? '' : `: ${short(each.value)}`}${by}`;
}

function feedback(record) {
  const id = encodeURIComponent(record.request_id);
  const told = () => later(async () => {
    const found = await get('/feedback', { request_id: record.request_id });
    return found.data.length ? facts(found.data.map((each) => [when(each.at), word(each)])) : h('p', { class: 'soft' }, 'None yet.');
  });
  const box = h('div', {}, told());
  const give = async (score) => {
    await post('/feedback', { request_id: record.request_id, kind: 'thumb', value: score });
    say('Kept with the request.');
    put(box, told());
  };
  const replay = () => later(async () => {
    const now = await get(`/requests/${id}/replay`);
    return h('p', {}, now.same ? 'The same decision would be made again from this Record.' : `The configuration in force would choose ${now.chosen[0] ?? 'nothing'} now (${words(now.reason)}).`);
  }, 'Deciding again…');
  const again = h('div', {}, h('button', { type: 'button', onclick: () => put(again, replay()) }, 'Decide again from the Record'));
  return card('Feedback and replay', h('span', { class: 'row' },
    h('button', { type: 'button', 'aria-label': 'Good answer', onclick: () => give(1) }, 'Good'), h('button', { type: 'button', 'aria-label': 'Bad answer', onclick: () => give(0) }, 'Bad')), h('div', { class: 'stack' }, box, again));
}
