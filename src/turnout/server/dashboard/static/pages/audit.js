// Who did what, in a chain that shows if anything was changed.

import { get } from '../lib/api.js';
import { h, put } from '../lib/dom.js';
import { count, when, words } from '../lib/format.js';
import { card, chip, empty, later, table } from '../ui/parts.js';

const PAGE = 200;

export default async function audit({ me }) {
  const organisations = me.organisation ? [] : await get('/organisations').then((found) => found.data, () => []);
  const list = h('div', { class: 'stack' });
  const load = (chain) => put(list, state(chain), entries(chain));
  load(me.organisation ?? '');
  const pick = me.organisation ? null : h('label', { class: 'row' }, 'Chain ', h('select', { onchange: (event) => load(event.target.value) },
    h('option', { value: '' }, 'the installation'), organisations.map((each) => h('option', { value: each.id }, each.name || each.id))));
  return [h('div', { class: 'row spread' }, pick ?? h('span'), h('a', { class: 'button', href: `/admin/v1/exports/audit${me.organisation ? `?organisation=${me.organisation}` : ''}`, download: true }, 'Download as JSON lines')), list];
}

const of = (chain) => (chain ? { organisation: chain } : {});

function state(chain) {
  return later(async () => {
    const found = await get('/audit/verify', of(chain));
    return found.intact
      ? h('p', { class: 'notice' }, `All ${count(found.entries)} entries are as they were written.`)
      : h('p', { class: 'problem', role: 'alert' }, `Entry ${found.broken_at} is not as it was written.`);
  }, 'Checking the chain…');
}

function entries(chain) {
  return card('Entries', 'newest first', later(async () => {
    const { entries: n } = await get('/audit/verify', of(chain));
    const found = await get('/audit', { ...of(chain), after: n > PAGE ? n - PAGE : null, limit: PAGE });
    if (!found.data.length) return empty('Nothing was done yet.');
    return table([
      { name: 'seq', title: '#', num: true, sort: (row) => row.seq, cell: (row) => count(row.seq) },
      { name: 'at', title: 'When', tight: true, sort: (row) => row.at, cell: (row) => when(row.at) },
      { name: 'actor', title: 'Who', sort: (row) => row.actor, cell: (row) => [row.actor, h('div', { class: 'soft' }, [row.role, row.address].filter(Boolean).join(' · '))] },
      { name: 'action', title: 'Did', sort: (row) => row.action, cell: (row) => [words(row.action), row.object ? h('div', { class: 'soft' }, row.object) : null] },
      { name: 'result', title: 'Result', sort: (row) => row.result, cell: (row) => chip(row.result, row.result === 'done' ? 'good' : 'bad') },
      { name: 'why', title: 'Why', cell: (row) => [row.reason, Object.keys(row.facts ?? {}).length ? h('div', { class: 'soft mono' }, JSON.stringify(row.facts)) : null] },
      { name: 'hash', title: 'Hash', cell: (row) => h('span', { class: 'mono', title: row.hash }, row.hash.slice(0, 10)) },
    ], found.data, { caption: 'Audit log', sort: 'seq' });
  }));
}
