// What guards found: how often, of which kind, in which requests, and how often that was a false alarm.

import { get, post } from '../lib/api.js';
import { h } from '../lib/dom.js';
import { NONE, brief, count, percent, seconds, when, words } from '../lib/format.js';
import { asked, link, range } from '../lib/place.js';
import { bars } from '../charts/bars.js';
import { series } from '../charts/series.js';
import { say } from '../ui/dialog.js';
import { card, chip, chips, empty, problem, table, tile } from '../ui/parts.js';
import { fill } from './overview.js';

const TONES = { block: 'bad', redact: 'warn', flag: 'warn', monitor: '', right: 'good', false_alarm: 'bad' };
const COLOURS = ['var(--c1)', 'var(--c2)', 'var(--c3)', 'var(--c4)', 'var(--c5)', 'var(--c6)', 'var(--c7)', 'var(--c8)'];

export default async function guards({ me, reload }) {
  const now = range();
  const found = await get('/guards', asked({ step: now.step, limit: 100 }));
  if (!found.guards.length) return [card('Guards', null, empty('No guard is configured.', 'Name one under `guards.rules` and put it on a route, a surface, a team or a key.'))];
  return [
    tiles(found),
    h('div', { class: 'grid' }, overTime(found, now), byKind(found)),
    configured(found),
    latest(found, ['owner', 'admin', 'operator'].includes(me.role), reload),
  ];
}

function tiles({ guards, looked_at: looked, complete, since }) {
  const sum = (name) => guards.reduce((total, each) => total + each[name], 0);
  const reviewed = sum('reviewed');
  return h('div', { class: 'grid tiles' },
    tile('Hits', count(sum('hits')), `in ${count(looked)} requests`),
    tile('False alarms', reviewed ? percent(sum('false_alarms') / reviewed) : NONE, reviewed ? `${count(sum('false_alarms'))} of ${count(reviewed)} reviewed hits` : 'no hit was reviewed yet'),
    tile('Could not be asked', count(sum('failures')), 'guards that ask a model or an address', sum('failures') ? 'bad' : 'good'),
    complete ? null : tile('Looked back to', when(since), 'earlier requests of this time are not counted'));
}

function overTime(found, now) {
  const names = [...new Set(found.series.map((row) => row.guard))].sort();
  if (!names.length) return card('Hits over time', null, empty('No guard found anything in this time.'));
  const lines = names.map((name, at) => {
    const steps = fill(found.series.filter((row) => row.guard === name), now);
    return { steps, line: { name, values: steps.of((row) => row.hits), colour: COLOURS[at % COLOURS.length] } };
  });
  return card('Hits over time', `requests per ${now.step}`, series({ times: lines[0].steps.times, stepMs: lines[0].steps.stepMs, label: `Requests in which a guard found something per ${now.step}`, write: brief, stacked: true, lines: lines.map((each) => each.line) }));
}

function byKind(found) {
  const kinds = {};
  for (const guard of found.guards) for (const [kind, n] of Object.entries(guard.kinds)) kinds[kind] = (kinds[kind] ?? 0) + n;
  const rows = Object.entries(kinds).sort((a, b) => b[1] - a[1]).slice(0, 12).map(([kind, n]) => ({ name: words(kind), value: n }));
  return card('By kind', 'findings', rows.length ? bars('Findings by kind', rows, count) : empty('Nothing was found in this time.'));
}

function configured({ guards }) {
  return card('Configured guards', null, table([
    { name: 'name', title: 'Guard', sort: (row) => row.name, cell: (row) => row.name },
    { name: 'type', title: 'Looks for', sort: (row) => row.type ?? '', cell: (row) => row.type ?? 'no longer configured' },
    { name: 'mode', title: 'Does', sort: (row) => row.mode ?? '', cell: (row) => (row.mode ? chip(row.mode, TONES[row.mode]) : NONE) },
    { name: 'where', title: 'Applies to', cell: (row) => where(row) },
    { name: 'asked', title: 'Asked', num: true, sort: (row) => row.asked, cell: (row) => count(row.asked) },
    { name: 'hits', title: 'Hits', num: true, sort: (row) => row.hits, cell: (row) => count(row.hits) },
    { name: 'rate', title: 'Hit rate', num: true, sort: (row) => (row.asked ? row.hits / row.asked : null), cell: (row) => (row.asked ? percent(row.hits / row.asked) : NONE) },
    { name: 'false', title: 'False alarms', num: true, sort: (row) => row.false_alarm_rate, cell: (row) => (row.reviewed ? `${percent(row.false_alarm_rate)} of ${count(row.reviewed)}` : NONE) },
    { name: 'time', title: 'Takes', num: true, sort: (row) => row.mean_s, cell: (row) => (row.mean_s === null ? NONE : seconds(row.mean_s)) },
  ], guards, { caption: 'Configured guards', sort: 'hits' }));
}

function where(row) {
  if (row.everywhere) return 'every request';
  const of = (name, list) => (list?.length ? `${name} ${list.join(', ')}` : null);
  const places = [of('route', row.routes), of('surface', row.surfaces), of('team', row.teams), of('key', row.keys)].filter(Boolean);
  return places.join(' · ') || 'who asks for it';
}

function latest({ latest: hits }, may, reload) {
  return card('Latest hits', 'without their text', table([
    { name: 'at', title: 'When', sort: (row) => row.at, cell: (row) => h('a', { href: link('request', row.request_id, {}, false) }, when(row.at)) },
    { name: 'guard', title: 'Guard', sort: (row) => row.guard, cell: (row) => row.guard },
    { name: 'action', title: 'Did', cell: (row) => chip(words(row.action), TONES[row.action]) },
    { name: 'found', title: 'Found', cell: (row) => chips(...Object.entries(row.found).map(([kind, n]) => chip(n > 1 ? `${words(kind)} × ${n}` : words(kind)))) },
    { name: 'stage', title: 'In the', cell: (row) => (row.stage === 'in' ? 'request' : 'answer') },
    { name: 'route', title: 'Route', sort: (row) => row.route ?? '', cell: (row) => row.route ?? NONE },
    { name: 'review', title: 'Review', cell: (row) => review(row, may, reload) },
  ], hits, { caption: 'Latest hits', sort: 'at', empty: 'No guard found anything in this time.' }));
}

function review(row, may, reload) {
  const shown = row.review ? chip(words(row.review), TONES[row.review]) : null;
  if (!may) return shown;
  const box = h('span', { class: 'chips' }, shown);
  const button = (verdict, title) => h('button', {
    type: 'button', 'aria-label': `${title}: ${row.guard} in ${row.request_id}`, 'aria-pressed': String(row.review === verdict),
    onclick: async () => {
      try {
        await post('/guards/review', { request_id: row.request_id, guard: row.guard, verdict });
        say('Kept. It counts in the rate of false alarms.');
        reload();
      } catch (error) {
        box.append(problem(error));
      }
    },
  }, title);
  box.append(button('right', 'right'), button('false_alarm', 'false alarm'));
  return box;
}
