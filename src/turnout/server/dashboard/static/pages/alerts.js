// What is wrong now and was before, who is told, and by which rules.

import { get, post } from '../lib/api.js';
import { h, put } from '../lib/dom.js';
import { ago, brief, count, percent, seconds, when, words } from '../lib/format.js';
import { change, here } from '../lib/place.js';
import { form, say } from '../ui/dialog.js';
import { card, chip, chips, empty, segments, table, tile } from '../ui/parts.js';

const TONES = { critical: 'bad', warning: 'warn', info: 'accent' };
const ORDER = { critical: 2, warning: 1, info: 0 };
const LENGTHS = { 3600: '1 hour', 14400: '4 hours', 86400: '1 day', 604800: '1 week' };
const COMMON = new Set(['name', 'type', 'enabled', 'severity', 'for_s', 'keep_s', 'repeat_s', 'labels', 'receivers', 'problem']);
const WIDE = { minWidth: '210px' };
const REFRESH_MS = 15000;

export default async function alerts({ me, onLeave }) {
  const acts = ['operator', 'admin', 'owner'].includes(me.role);
  const box = h('div', { class: 'stack' });
  const load = async () => put(box, page(await get('/alerts'), acts, load));
  await load();
  // Whoever is about to press something is not to find it moved.
  const timer = setInterval(() => { if (!document.hidden && !box.contains(document.activeElement)) load().catch(() => {}); }, REFRESH_MS);
  onLeave(() => clearInterval(timer));
  return box;
}

function page(found, acts, reload) {
  const severity = here().query.get('severity') ?? 'all';
  const seen = (rows) => rows.filter((row) => severity === 'all' || row.severity === severity);
  return [
    h('div', { class: 'row spread' },
      segments('Severity', { all: 'All', critical: 'Critical', warning: 'Warning', info: 'Info' }, severity, (value) => change({ severity: value === 'all' ? null : value })),
      h('span', { class: 'soft' }, found.checked_at ? `looked at ${ago(found.checked_at)}` : 'not looked at yet')),
    found.watched ? null : unwatched(),
    tiles(found),
    firing(seen(found.firing), acts, reload),
    found.pending.length ? card('Not yet', 'it must last before anybody is told', list(seen(found.pending), 'Pending alerts', [since])) : null,
    card('Who is told', 'addresses are never shown', receivers(found.receivers, acts)),
    card('Over', found.history.length > 1 ? `the last ${count(found.history.length)}` : null, list(seen(found.history), 'Alerts that are over', [since, over, lasted], 'Nothing was wrong yet.')),
    found.silences.length ? card('Silences', null, silences(found, acts, reload)) : null,
    card('Rules', 'as configured', rules(found.rules)),
  ];
}

function unwatched() {
  return empty('No receiver is configured, so no rule is evaluated.', h('p', { class: 'soft' }, 'Add one under `alerts.receivers`: a webhook, Slack, mail or PagerDuty.'));
}

function tiles(found) {
  const of = (severity) => found.firing.filter((each) => each.severity === severity).length;
  return h('div', { class: 'grid tiles four' },
    tile('Critical', count(of('critical')), null, of('critical') ? 'bad' : ''),
    tile('Warnings', count(of('warning')), null, of('warning') ? 'warn' : ''),
    tile('Info', count(of('info'))),
    tile('Notices on their way', count(found.waiting), found.waiting ? 'tried again with growing pauses' : null));
}

const since = { name: 'since', title: 'Since', tight: true, sort: (row) => row.since, cell: (row) => h('span', { title: when(row.since) }, ago(row.since)) };
const lasted = { name: 'lasted', title: 'Lasted', num: true, sort: (row) => length(row), cell: (row) => seconds(length(row)) };
const length = (row) => (new Date(row.ended_at) - new Date(row.fired_at ?? row.since)) / 1000;
const over = { name: 'ended', title: 'Over', tight: true, sort: (row) => row.ended_at, cell: (row) => h('span', { title: when(row.ended_at) }, ago(row.ended_at)) };

function list(rows, caption, more, none) {
  return table([
    { name: 'severity', title: 'Severity', tight: true, sort: (row) => ORDER[row.severity], cell: (row) => chip(row.severity, TONES[row.severity]) },
    { name: 'what', title: 'What', sort: (row) => row.rule, cell: (row) => h('div', { style: WIDE }, h('strong', {}, row.rule), h('div', {}, row.text || 'not seen yet'), labels(row.labels)) },
    ...more,
  ], rows, { caption, empty: none ?? 'None of this severity.' });
}

function labels(of) {
  const pairs = Object.entries(of);
  return pairs.length ? h('div', { class: 'soft' }, pairs.map(([name, value]) => `${name}: ${value}`).join(' · ')) : null;
}

function firing(rows, acts, reload) {
  if (!rows.length) return card('Firing', null, empty('Nothing is firing.'));
  const told = { name: 'told', title: 'Told', cell: (row) => (row.silenced_until ? chip(`silent until ${when(row.silenced_until)}`) : row.told.length ? chips(row.told.map((name) => chip(name))) : h('span', { class: 'soft' }, 'nobody yet')) };
  const act = { name: 'act', title: 'Silence', tight: true, cell: (row) => h('button', { type: 'button', onclick: () => silence(row, reload) }, row.silenced_until ? 'Change' : 'Silence') };
  return card('Firing', 'worst first', list(rows, 'Firing alerts', [since, told, ...(acts ? [act] : [])]));
}

async function silence(row, reload) {
  const done = await form(`Silence ${row.rule}`, [
    { name: 'for_s', label: 'For', type: 'select', value: '14400', options: row.silenced_until ? { ...LENGTHS, 0: 'end the silence' } : LENGTHS },
    { name: 'reason', label: 'Why', placeholder: 'known, being worked on' },
  ], 'Silence', (values) => post(`/alerts/${row.id}/silence`, { for_s: Number(values.for_s), reason: values.reason ?? '' }),
  'Nobody is told meanwhile. If it still lasts afterwards, everybody is.');
  if (done) {
    say(done.until ? `Silent until ${when(done.until)}.` : 'The silence is over.');
    reload();
  }
}

function silences(found, acts, reload) {
  const live = new Map(found.firing.map((each) => [each.id, each]));
  return table([
    { name: 'alert', title: 'Alert', cell: (row) => h('div', { style: WIDE }, live.get(row.alert)?.text ?? row.alert) },
    { name: 'until', title: 'Until', tight: true, sort: (row) => row.until, cell: (row) => when(row.until) },
    { name: 'by', title: 'By', cell: (row) => row.by },
    { name: 'reason', title: 'Why', cell: (row) => row.reason || null },
    ...(acts ? [{ name: 'end', title: 'End', tight: true, cell: (row) => (live.has(row.alert) ? h('button', { type: 'button', onclick: () => end(row, reload) }, 'End') : null) }] : []),
  ], found.silences, { caption: 'Silences', sort: 'until', down: false });
}

async function end(row, reload) {
  try {
    await post(`/alerts/${row.alert}/silence`, { for_s: 0 });
    reload();
  } catch (error) {
    say(error.message, 'bad');
  }
}

function receivers(rows, acts) {
  return table([
    { name: 'name', title: 'Receiver', sort: (row) => row.name, cell: (row) => h('strong', {}, row.name) },
    { name: 'type', title: 'Type', cell: (row) => row.type },
    { name: 'min', title: 'From', cell: (row) => chip(row.min_severity, TONES[row.min_severity]) },
    { name: 'sent', title: 'Arrived', num: true, sort: (row) => row.sent, cell: (row) => count(row.sent) },
    { name: 'failed', title: 'Failed tries', num: true, sort: (row) => row.failed, cell: (row) => count(row.failed) },
    { name: 'given', title: 'Given up', num: true, sort: (row) => row.given_up, cell: (row) => count(row.given_up) },
    { name: 'last', title: 'Last', cell: (row) => (row.last_at ? [chip(row.last_problem ?? 'arrived', row.last_problem ? 'bad' : 'good'), h('div', { class: 'soft' }, ago(row.last_at))] : null) },
    ...(acts ? [{ name: 'test', title: 'Try', tight: true, cell: (row) => tryIt(row) }] : []),
  ], rows, { caption: 'Receivers', empty: 'Nobody is told.' });
}

function tryIt(row) {
  const button = h('button', { type: 'button', onclick: async () => {
    button.disabled = true;
    try {
      const sent = await post('/alerts/test', { receiver: row.name });
      say(sent.delivered ? `${row.name} was told of a test, and that it is over.` : `${row.name} was not told: ${sent.problem}`, sent.delivered ? 'good' : 'bad');
    } catch (error) {
      say(error.message, 'bad');
    } finally {
      button.disabled = false;
    }
  } }, 'Test');
  return button;
}

function rules(rows) {
  return table([
    { name: 'name', title: 'Rule', sort: (row) => row.name, cell: (row) => [h('strong', {}, row.name), row.name === row.type ? null : h('div', { class: 'soft' }, row.type)] },
    { name: 'state', title: 'State', cell: (row) => (row.problem ? chip(row.problem, 'bad') : row.enabled ? chip('on', 'good') : chip('off')) },
    { name: 'severity', title: 'Severity', sort: (row) => ORDER[row.severity], cell: (row) => chip(row.severity, TONES[row.severity]) },
    { name: 'for', title: 'Must last', num: true, sort: (row) => row.for_s, cell: (row) => seconds(row.for_s) },
    { name: 'keep', title: 'Over after', num: true, sort: (row) => row.keep_s, cell: (row) => seconds(row.keep_s) },
    { name: 'limits', title: 'Limits', cell: (row) => h('div', { style: WIDE }, limits(row)) },
    { name: 'told', title: 'Told', cell: (row) => (row.receivers.length ? row.receivers.join(', ') : 'everybody') },
  ], rows, { caption: 'Rules', sort: 'name', down: false });
}

function limits(row) {
  const own = Object.entries(row).filter(([name, value]) => !COMMON.has(name) && value !== null && !(Array.isArray(value) && !value.length));
  return own.map(([name, value]) => `${words(name.replace(/_s$/, ''))} ${written(name, value)}`).join(' · ');
}

function written(name, value) {
  if (Array.isArray(value)) return value.map((each) => (typeof each === 'number' ? percent(each, 0) : each)).join(', ');
  if (name.endsWith('_s')) return seconds(value);
  if (['above', 'drop', 'usual'].includes(name)) return percent(value);
  return typeof value === 'number' ? brief(value) : String(value);
}
