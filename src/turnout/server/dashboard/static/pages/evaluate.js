// Evaluate: how much a stronger model was needed, how often answers were corrected, drift, and reports of measurements.

import { get } from '../lib/api.js';
import { h } from '../lib/dom.js';
import { ago, brief, count, nusd, percent, when, words } from '../lib/format.js';
import { asked, change, here, link } from '../lib/place.js';
import { histogram } from '../charts/bars.js';
import { COLOURS } from '../charts/frame.js';
import { scatter } from '../charts/scatter.js';
import { judged } from '../charts/series.js';
import { card, chip, empty, facts, later, segments, table, tile } from '../ui/parts.js';

const number = (n) => (n === null || n === undefined ? '–' : Number(n.toPrecision(4)).toString());

const BY_NUMBER = new Set(['threshold', 'complexity']); // such a route has most to show here

/** Since and until alone: filters of the page are no parameters here. */
const time = () => { const { since, until } = asked(); return { since, until }; };

export default async function evaluate({ id }) {
  if (id) return report(id);
  const listed = (await get('/routes')).data;
  const wanted = here().query.get('route');
  const route = listed.find((each) => each.id === wanted) ?? listed.find((each) => BY_NUMBER.has(each.strategy)) ?? listed.find((each) => each.is_default) ?? listed[0];
  if (!route) return [empty('No routes: there is nothing to choose between. Add `routes` to the configuration.'), reports()];
  return [
    h('div', { class: 'row' }, segments('Route', Object.fromEntries(listed.map((each) => [each.id, each.id])), route.id, (name) => change({ route: name }))),
    later(() => scores(route)),
    h('div', { class: 'grid' }, quality(route), drift(listed)),
    h('div', { class: 'grid' }, said(route), reports()),
  ];
}

async function scores(route) {
  const found = await get(`/routes/${encodeURIComponent(route.id)}/scores`, time());
  const of = words(found.of);
  const hint = h('p', {}, 'A route goes by one number where its strategy is ', h('code', {}, 'threshold'), ' or ', h('code', {}, 'complexity'), ', where it predicts quality, or where it has a certificate.');
  if (!found.n) return card('How much a stronger model was needed', `route ${route.id}`, empty('No request of this time was decided by such a number.', hint));
  return h('div', { class: 'grid' }, card('How much a stronger model was needed', `${count(found.n)} requests of ${route.id}, by ${of}`, distribution(found)), card('Corrections', 'of cheap answers that somebody judged; lines are 95 % intervals', corrections(found)), card('Threshold', 'suggested from what was said; it is put nowhere by itself', suggestion(found)));
}

function distribution(found) {
  const edges = [...found.bins.map((bin) => bin.low), found.bins.at(-1).high];
  if (edges.length < 3) return empty(`Every request came to ${number(edges[0])}: there is no distribution to show.`);
  const marks = [['in force', found.threshold], ['suggested', found.suggestion.threshold]].filter(([, at]) => at !== null && at >= edges[0] && at <= edges.at(-1)).map(([name, at]) => ({ name, at }));
  return histogram({
    label: 'Requests by how much a stronger model was needed', edges, write: (n) => n.toFixed(2), marks,
    groups: [{ name: 'cheap model', counts: found.bins.map((bin) => bin.n_weak), colour: COLOURS[0] }, { name: 'strong model', counts: found.bins.map((bin) => bin.n - bin.n_weak), colour: COLOURS[1] }],
  });
}

function corrections(found) {
  const known = found.bins.filter((bin) => bin.rate);
  if (!known.length) return empty('Nothing was said of a cheap answer yet.', 'Clients say it at `POST /v1/feedback`; the section `quality` has a share of answers judged.');
  const points = known.map((bin) => ({ name: `${count(bin.n_rated)} judged`, x: (bin.low + bin.high) / 2, y: bin.rate.mean, low: bin.rate.low, high: bin.rate.high, colour: COLOURS[0] }));
  return scatter({ label: 'Rate of corrections by need', points, xFrom: Math.floor(found.bins[0].low * 10) / 10, xName: words(found.of), yName: 'corrected', writeX: (n) => n.toFixed(2), writeY: (y) => percent(y, 0), quiet: true });
}

function suggestion(found) {
  const { suggestion: of } = found;
  const change = of.cost_nusd ? of.new_cost_nusd / of.cost_nusd - 1 : null;
  return h('div', { class: 'stack' }, facts([
    ['In force', found.threshold === null ? 'none' : number(found.threshold)],
    ['Suggested', of.threshold === null ? 'none' : number(of.threshold)],
    ['Why', of.reason],
    ['Evidence', of.rate ? `${count(of.n_rated)} judged cheap answers, ${percent(of.rate.mean)} corrected (95 % between ${percent(of.rate.low)} and ${percent(of.rate.high)})` : null],
    ['To the cheap model', of.weak_share === null ? null : percent(of.weak_share)],
    ['Predicted cost', change === null ? null : `${nusd(of.cost_nusd)} → ${nusd(of.new_cost_nusd)} (${change > 0 ? '+' : ''}${percent(change)})`],
    ['Signs of displeasure', count(found.bins.reduce((sum, bin) => sum + bin.signs, 0))],
  ]), h('p', { class: 'soft' }, h('code', {}, `turnout calibrate feedback --route ${found.route}`), ' tells it with another rate; it is a suggestion to be tried, and no promise.'));
}

function quality(route) {
  return card('Judged quality', 'by the day, with 95 % intervals', later(async () => {
    const found = (await get('/quality', { route: route.id, ...time() })).data;
    if (!found.length) return empty('No answers of this time were judged.', h('p', {}, 'The section ', h('code', {}, 'quality'), ' of the configuration samples live traffic.'));
    return found.length > 1 ? judged(found) : facts([['Day', found[0].at.slice(0, 10)], ['Mean', found[0].mean.toFixed(3)], ['95 % interval', `${found[0].low.toFixed(3)} – ${found[0].high.toFixed(3)}`], ['Judged', count(found[0].n)]]);
  }));
}

function drift(listed) {
  return card('Drift', 'certificates, and what their monitors saw', later(async () => {
    const found = await Promise.all(listed.map((each) => get(`/routes/${encodeURIComponent(each.id)}/certificate`).then((one) => ({ route: each.id, ...one }))));
    return table([
      { name: 'route', title: 'Route', cell: (row) => h('a', { href: link('routes', row.route) }, row.route) },
      { name: 'state', title: 'State', cell: (row) => chip(row.void ? words(row.void) : 'holds', row.void ? 'bad' : 'good') },
      { name: 'pairs', title: 'Compared', num: true, cell: (row) => count(row.watched?.n_pairs) },
      { name: 'loss', title: 'Mean loss', num: true, cell: (row) => (row.watched?.mean_loss === null || !row.watched ? '–' : percent(row.watched.mean_loss)) },
      { name: 'shift', title: 'Shift', num: true, cell: (row) => number(row.watched?.shift) },
      { name: 'until', title: 'Until', cell: (row) => when(row.expires) },
    ], found.filter((each) => each.id), { caption: 'Certificates', empty: 'No route has a certificate. `turnout calibrate` measures what can be promised.' });
  }));
}

function said(route) {
  return card('What was said', `last words on answers of ${route.id}`, later(async () => {
    const found = (await get('/feedback', { route: route.id, ...time(), limit: 200 })).data;
    const kinds = {};
    for (const each of found) kinds[each.kind] = (kinds[each.kind] ?? 0) + 1;
    return h('div', { class: 'stack' }, h('span', { class: 'chips' }, Object.entries(kinds).sort((a, b) => b[1] - a[1]).map(([name, n]) => chip(`${words(name)} ${brief(n)}`))),
      table([
        { name: 'at', title: 'Said', tight: true, cell: (row) => h('a', { href: link('request', row.request_id), title: when(row.at) }, ago(row.at)) },
        { name: 'kind', title: 'Kind', cell: (row) => words(row.kind) },
        { name: 'score', title: 'Score', num: true, sort: (row) => row.score ?? null, cell: (row) => (row.score === null || row.score === undefined ? '–' : row.score.toFixed(2)) },
        { name: 'model', title: 'Answered by', cell: (row) => row.model ?? '–' }, { name: 'source', title: 'By', cell: (row) => row.source || '–' },
      ], found.slice(0, 8), { caption: 'Feedback', empty: 'Nothing was said in this time.' }));
  }));
}

function reports() {
  return card('Reports', 'of turnout eval and turnout calibrate', later(async () => {
    const found = (await get('/evaluations')).data;
    return table([
      { name: 'id', title: 'Report', sort: (row) => row.id, cell: (row) => row.id },
      { name: 'at', title: 'Written', sort: (row) => row.at, cell: (row) => ago(row.at) },
      { name: 'bytes', title: 'Size', num: true, cell: (row) => `${brief(row.bytes / 1024)} KiB` },
    ], found, { href: (row) => link('evaluate', row.id), caption: 'Reports', empty: 'None: `evaluate: {reports: FOLDER}` names where `turnout eval --out` and `turnout calibrate feedback --out` write them.' });
  }));
}

async function report(id) {
  const { report: of } = await get(`/evaluations/${encodeURIComponent(id)}`);
  const back = h('p', {}, h('a', { href: link('evaluate') }, '← All reports'));
  return [back, ...(of.schema === 'turnout.scoreboard/1' ? scoreboard(of) : of.schema === 'turnout.feedback-calibration/1' ? calibration(of) : []), everything(of)];
}

function scoreboard(of) {
  const lines = [...of.lines, ...of.singles].filter((line) => line.cost_usd !== null && line.cost_usd !== undefined);
  const router = of.lines.find((line) => line.name === of.router.name) ?? of.lines[0];
  const mean = (line) => line?.quality?.mean ?? line?.quality ?? null;
  return [
    h('div', { class: 'grid tiles' }, tile('Router', of.router.name), tile('Quality', mean(router)?.toFixed(4) ?? '–', 'mean on held-out prompts'),
      tile('Cost', router?.cost_usd === null || !router ? '–' : `$${router.cost_usd.toPrecision(3)}`, 'a prompt'), tile('Best single model', of.best_single)),
    lines.length ? card('Quality and cost', 'the router, baselines and single models', scatter({
      label: 'Quality against cost', xName: 'USD a prompt', yName: 'quality', writeX: (x) => `$${x.toPrecision(2)}`, writeY: (y) => y.toFixed(2),
      points: lines.filter((line) => mean(line) !== null).map((line) => ({ name: line.name, x: line.cost_usd, y: mean(line), low: line.quality?.low, high: line.quality?.high, strong: line === router })) })) : null,
    card('Policies', 'with 95 % intervals', table([
      { name: 'name', title: 'Policy', cell: (row) => (row === router ? h('strong', {}, row.name) : row.name) },
      { name: 'quality', title: 'Quality', num: true, sort: mean, cell: (row) => short({ low: null, ...row.quality }) },
      { name: 'cost', title: 'USD a prompt', num: true, sort: (row) => row.cost_usd ?? null, cell: (row) => number(row.cost_usd) },
      { name: 'share', title: 'Strong calls', num: true, sort: (row) => row.strong_share ?? null, cell: (row) => percent(row.strong_share) }], [...of.lines, ...of.singles], { caption: 'Policies', sort: 'quality' })),
    h('div', { class: 'grid' }, (of.forecasts ?? []).map((forecast) => card(`Calibration of ${forecast.name}`, `Brier ${number(forecast.brier)}, expected error ${number(forecast.ece)}`, scatter({
      label: `Predicted against observed quality of ${forecast.name}`, xName: 'predicted', yName: 'observed', writeX: (x) => x.toFixed(2), writeY: (y) => y.toFixed(2), line: [{ x: 0, y: 0 }, { x: 1, y: 1 }], quiet: true,
      points: forecast.bins.map(([x, y, n]) => ({ name: `${n}`, x, y, colour: COLOURS[0] })) })))),
    of.differences?.length ? card('Against others', null, table([
      { name: 'minus', title: 'Minus', cell: (row) => row.minus }, { name: 'of', title: 'Of', cell: (row) => words(row.of) },
      { name: 'value', title: 'Difference', num: true, cell: (row) => `${number(row.value.mean)} (${number(row.value.low)} to ${number(row.value.high)})` },
      { name: 'verdict', title: 'Verdict', cell: (row) => chip(row.verdict, row.verdict === 'better' ? 'good' : row.verdict === 'worse' ? 'bad' : '') }], of.differences, { caption: 'Differences' })) : null,
  ];
}

const calibration = (of) => [h('div', { class: 'grid' }, card('Distribution', `${count(of.n)} requests of ${of.route}`, distribution(of)), card('Corrections', 'of cheap answers that somebody judged', corrections(of)), card('Threshold', null, suggestion(of)))];

const DRAWN = new Set(['lines', 'singles', 'curves', 'forecasts', 'differences', 'decisions', 'two_models']);

/** Whatever else is in a report: what is plain as facts, what repeats as tables. */
function everything(of) {
  const plain = Object.entries(of).filter(([, value]) => value === null || typeof value !== 'object');
  const lists = Object.entries(of).filter(([name, value]) => !(of.schema === 'turnout.scoreboard/1' && DRAWN.has(name)) && Array.isArray(value) && value.length && value.every((each) => each && typeof each === 'object' && !Array.isArray(each)));
  const told = (value) => (typeof value === 'number' ? number(value) : value === null ? '–' : typeof value === 'object' ? short(value) : String(value));
  return h('div', { class: 'stack' }, card('All numbers', null, facts(plain.map(([name, value]) => [words(name), told(value)]))),
    lists.map(([name, rows]) => card(words(name), `${count(rows.length)} rows`, table(
      [...new Set(rows.flatMap(Object.keys))].slice(0, 12).map((column) => ({ name: column, title: words(column), cell: (row) => told(row[column] ?? null) })), rows.slice(0, 200), { caption: words(name) }))));
}

function short(value) {
  const text = 'mean' in value && 'low' in value ? `${number(value.mean)} (${number(value.low)} to ${number(value.high)})` : JSON.stringify(value);
  return text.length > 120 ? `${text.slice(0, 120)}…` : text;
}
