// Routes: what is in force, how traffic divides, what answers cost and are worth; and changing them with care.

import { all, get, post } from '../lib/api.js';
import { h, put } from '../lib/dom.js';
import { ago, brief, nusd, percent, seconds, usd, when, words } from '../lib/format.js';
import { asked, link, range } from '../lib/place.js';
import { usage } from '../lib/usage.js';
import { scatter } from '../charts/scatter.js';
import { judged, series } from '../charts/series.js';
import { form, say } from '../ui/dialog.js';
import { card, chip, empty, facts, later, problem, table, tile } from '../ui/parts.js';
import { fill } from './overview.js';

const FINE_S = 259200; // up to three days by the hour: of eight models each, that is enough to draw

export default async function routes({ id, me, reload }) {
  const listed = (await get('/routes')).data;
  if (!id) return [overview(listed), versionCard(me, reload)];
  const route = listed.find((each) => each.id === id);
  if (!route) return [empty(`There is no route “${id}”.`, h('a', { href: link('routes') }, 'All routes'))];
  return [h('p', {}, h('a', { href: link('routes') }, '← All routes')), ...(await one(route, me, reload))];
}

function overview(listed) {
  return card('Routes', `${listed.length} in force`, table([
    { name: 'id', title: 'Route', sort: (row) => row.id, cell: (row) => [h('a', { href: link('routes', row.id) }, row.id), row.is_default ? [' ', chip('default', 'accent')] : null, row.aliases.length ? h('div', { class: 'soft' }, `also ${row.aliases.join(', ')}`) : null] },
    { name: 'strategy', title: 'Strategy', cell: (row) => row.strategy ?? '–' },
    { name: 'pool', title: 'Pool', cell: (row) => row.deployments.slice(0, 6).join(', ') + (row.deployments.length > 6 ? ` and ${row.deployments.length - 6} more` : '') },
  ], listed, { href: (row) => link('routes', row.id), caption: 'Routes', empty: 'No routes: every model is asked by its name. Add `routes` to the configuration.' }));
}

async function one(route, me, reload) {
  const now = range();
  const config = await get('/config').catch(() => null);
  const own = config?.config.routes?.find((each) => each.name === route.id);
  const step = now.span <= FINE_S ? 'hour' : 'day';
  const [totals, byModel, steps] = await Promise.all([
    usage('totals', asked({ route: route.id })), usage('totals', asked({ route: route.id, by: 'model' })),
    usage('series', asked({ route: route.id, by: 'model', top: 8, step, latencies: 'false' })).catch(() => []),
  ]);
  const [sum] = totals;
  return [
    sum?.requests ? tiles(sum) : empty('No request took this route in this time.'),
    byModel.length ? h('div', { class: 'grid' }, share(steps, { ...now, step }), tradeOff(byModel, own?.strategy?.quality ?? {})) : null,
    h('div', { class: 'grid' }, certificate(route), quality(route)),
    own ? editor(route, own, config, me, reload) : null,
    card('Where the last requests went', h('a', { href: link('live', '', { route: route.id }) }, 'all of them'), later(async () => {
      const found = await get('/requests', { route: route.id, limit: 8 });
      return table([
        { name: 'at', title: 'Arrived', cell: (row) => h('a', { href: link('request', row.request_id) }, ago(row.at)) },
        { name: 'model', title: 'Answered by', cell: (row) => row.model ?? words(row.error) },
        { name: 'cost', title: 'Cost', num: true, cell: (row) => usd(row.cost_usd) },
      ], found.data, { caption: 'Last requests', href: (row) => link('request', row.request_id) });
    })),
  ];
}

function tiles(sum) {
  return h('div', { class: 'grid tiles' },
    tile('Requests', brief(sum.requests)), tile('Spend', usd(sum.cost), `${usd(sum.cost / sum.requests)} a request`),
    tile('Failed', percent(sum.failed / sum.requests, 2)), tile('First token p50 · p95', `${seconds(sum.ttft_s?.p50)} · ${seconds(sum.ttft_s?.p95)}`));
}

function share(rows, now) {
  const names = [...new Set(rows.map((row) => row.group))].slice(0, 8);
  const lines = names.map((name) => {
    const at = fill(rows.filter((row) => row.group === name), now);
    return { name: name || '(none)', values: at.of((row) => row.requests), at };
  });
  if (!lines.length) return card('Share of traffic', null, empty('Nothing was asked.'));
  return card('Share of traffic', `requests per ${now.step}, by model`, series({ label: 'Requests by model over time', times: lines[0].at.times, stepMs: lines[0].at.stepMs, lines, write: brief, stacked: true }));
}

function tradeOff(rows, stated) {
  const box = later(async () => {
    const catalogue = new Map((await get('/models')).data.map((each) => [each.id, each]));
    const points = rows.filter((row) => row.requests && row.group).map((row) => {
      const scores = Object.values(catalogue.get(row.group)?.benchmarks ?? {}).filter((each) => typeof each === 'number');
      const measured = scores.length ? scores.reduce((a, b) => a + b, 0) / scores.length : null;
      return { name: row.group, x: row.cost / row.requests, y: stated[row.group] ?? measured };
    }).filter((point) => point.y !== null);
    if (!points.length) return empty('No quality is known of these models: add benchmark scores, or collect outcomes.');
    return scatter({ label: 'Cost against quality', points, xName: 'mean cost per request', yName: 'quality', writeX: usd, writeY: (n) => n.toFixed(2) });
  });
  return card('Cost and quality', 'mean cost per request on this route; quality as the route states it, else the mean of the catalogue’s benchmarks', box);
}

function certificate(route) {
  return card('Certificate', null, later(async () => {
    const found = await get(`/routes/${encodeURIComponent(route.id)}/certificate`);
    if (!found.id) return empty('Nothing is promised of this route.', '`turnout calibrate` measures what can be.');
    return facts([['Promise', `loses at most ${percent(found.max_loss)} against ${found.reference}, with ${percent(found.confidence)} confidence`],
      ['State', chip(found.void ? `void: ${words(found.void)}` : 'in force', found.void ? 'bad' : 'good')], ['Threshold', found.tau], ['Until', when(found.expires)], ['Measured on', `${brief(found.n)} prompts`]]);
  }));
}

function quality(route) {
  return card('Quality of live answers', 'judged samples, with 95 % intervals', later(async () => {
    const { since, until } = asked();
    const found = (await get('/quality', { route: route.id, since, until })).data;
    if (!found.length) return empty('No answers were judged.', 'The section `quality` of the configuration samples live traffic.');
    return judged(found);
  }));
}

// Edit → validate → compare → apply. What is edited is this route's own entry, as JSON.
function editor(route, own, config, me, reload) {
  const text = h('textarea', { class: 'code', spellcheck: 'false', 'aria-label': `Configuration of the route ${route.id}`, value: JSON.stringify(own, null, 2) });
  const said = h('div', { role: 'status' });
  const may = ['owner', 'admin', 'operator'].includes(me.role) && config.source === 'desk';
  const sections = () => {
    let edited;
    try {
      edited = JSON.parse(text.value);
    } catch (error) {
      throw new Error(`This is no JSON: ${error.message}`);
    }
    return { routes: config.config.routes.map((each) => (each.name === route.id ? edited : each)) };
  };
  const check = () => attempt(said, async () => {
    const verdict = await post('/config/validate', { sections: sections() });
    put(said, verdict.valid ? h('p', { class: 'notice' }, 'This can be put in force.') : h('div', { class: 'problem' }, verdict.problems.map((each) => h('span', {}, each))));
    return verdict.valid;
  });
  const effect = () => attempt(said, async () => {
    put(said, h('p', { class: 'wait' }, 'Deciding the last requests again…'));
    const found = await post(`/routes/${encodeURIComponent(route.id)}/effect`, { sections: sections() });
    put(said, effectTable(found));
  });
  const propose = () => attempt(said, async () => {
    const version = await post('/config/versions', { sections: sections(), reason: `route ${route.id}` });
    const diff = await get(`/config/versions/${version.id}/diff`);
    put(said, h('div', { class: 'stack' }, h('p', {}, `Kept as ${version.id}. Applying it changes:`), difference(diff.data),
      h('div', { class: 'row' }, h('button', { class: 'main', type: 'button', disabled: !may, onclick: () => apply(version.id, reload) }, `Apply ${version.id}`),
        may ? null : h('small', {}, 'The configuration is kept in its file here; `admin.config: desk` lets it be changed in place.'))));
  });
  return card('Policy in force', `version ${config.version ?? 'of the file'}`, h('div', { class: 'stack' }, text,
    h('div', { class: 'row' }, h('button', { type: 'button', onclick: check }, 'Validate'), h('button', { type: 'button', onclick: effect }, 'Predict the effect'),
      h('button', { class: 'main', type: 'button', onclick: propose }, 'Propose and compare')), said));
}

async function attempt(box, work) {
  try {
    return await work();
  } catch (error) {
    put(box, problem(error));
    return null;
  }
}

function effectTable(found) {
  const rows = Object.entries(found.after.shares).map(([name, after]) => ({ name, after, before: found.before.shares[name] ?? 0 }));
  for (const [name, before] of Object.entries(found.before.shares)) if (!(name in found.after.shares)) rows.push({ name, before, after: 0 });
  return h('div', { class: 'stack' },
    h('p', {}, `Decided again: the last ${brief(found.n)} requests. ${brief(found.changed)} would go elsewhere. Expected cost ${nusd(found.before.cost_nusd)} → ${nusd(found.after.cost_nusd)}`
      + (found.after.quality === null ? '.' : `, predicted quality ${found.before.quality?.toFixed(3)} → ${found.after.quality?.toFixed(3)}.`)),
    table([{ name: 'name', title: 'Model', cell: (row) => row.name }, { name: 'before', title: 'Share now', num: true, sort: (row) => row.before, cell: (row) => percent(row.before) }, { name: 'after', title: 'Share then', num: true, sort: (row) => row.after, cell: (row) => percent(row.after) }], rows, { caption: 'Predicted shares', sort: 'after' }));
}

function difference(rows) {
  if (!rows.length) return h('p', { class: 'soft' }, 'Nothing.');
  return h('div', { class: 'diff', tabindex: '0', role: 'region', 'aria-label': 'Differences' }, rows.flatMap((row) => [h('span', { class: 'soft' }, row.path),
    row.before !== null && h('span', { class: 'cut' }, `− ${JSON.stringify(row.before)}`), row.after !== null && h('span', { class: 'add' }, `+ ${JSON.stringify(row.after)}`)]));
}

async function apply(version, reload) {
  const done = await form(`Apply ${version}?`, [{ name: 'reason', label: 'Why?', help: 'It is put on record.' }], 'Apply', (values) => post(`/config/versions/${version}/apply`, { reason: values.reason ?? '' }));
  if (done) {
    say(`${version} is in force.`);
    reload();
  }
}

function versionCard(me, reload) {
  return card('Versions of the configuration', null, later(async () => {
    const [found, now] = await Promise.all([all('/config/versions'), get('/config')]);
    const back = async () => {
      const done = await form('Roll back?', [{ name: 'reason', label: 'Why?' }], 'Roll back', (values) => post('/config/rollback', { reason: values.reason ?? '' }), 'What was in force before is put in force again.');
      if (done) { say('Rolled back.'); reload(); }
    };
    const may = now.source === 'desk' && ['owner', 'admin', 'operator'].includes(me.role);
    return h('div', { class: 'stack' },
      now.version ? h('div', {}, h('button', { type: 'button', disabled: !may, onclick: back }, 'Roll back')) : null,
      table([
        { name: 'id', title: 'Version', cell: (row) => [row.id, row.id === now.version ? [' ', chip('in force', 'good')] : null] },
        { name: 'at', title: 'Proposed', cell: (row) => ago(row.at) }, { name: 'author', title: 'By', cell: (row) => row.author },
        { name: 'sections', title: 'Sections', cell: (row) => Object.keys(row.sections).join(', ') }, { name: 'reason', title: 'Why', cell: (row) => row.reason },
        { name: 'do', title: 'Action', cell: (row) => (may && row.id !== now.version ? h('button', { class: 'quiet', type: 'button', onclick: () => apply(row.id, reload) }, 'Apply') : '') },
      ], found.reverse(), { caption: 'Versions', empty: 'None yet: the file alone is in force.' }));
  }));
}
