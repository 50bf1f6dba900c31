// Who may come in: keys, people, and whom they belong to.

import { all, get, patch, post } from '../lib/api.js';
import { h } from '../lib/dom.js';
import { ago, when } from '../lib/format.js';
import { link } from '../lib/place.js';
import { confirm, form, say, show } from '../ui/dialog.js';
import { card, chip, chips, copier, empty, later, table } from '../ui/parts.js';

export default async function keys({ me, reload }) {
  const may = ['owner', 'admin'].includes(me.role);
  return [expiring(), keyCard(me, may, reload), h('div', { class: 'grid' }, people(me, may, reload), tokens(reload)), owners(me, may, reload)];
}

function expiring() {
  return later(async () => {
    const found = (await get('/expiring', { days: 14 })).data;
    return found.length ? h('p', { class: 'notice warn' }, `${found.length} end within two weeks: ${found.map((each) => `${each.name || each.id} ${ago(each.expires)}`).join(', ')}.`) : null;
  }, '');
}

const split = (text) => (text ? text.split(/[\s,]+/).filter(Boolean) : []);
const given = (fields) => Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null && value !== undefined && !(Array.isArray(value) && !value.length)));

function keyCard(me, may, reload) {
  return card('Keys', may ? h('button', { class: 'main', type: 'button', onclick: () => newKey(me, reload) }, 'New key') : null, later(async () => {
    const found = await all('/keys');
    return table([
      { name: 'id', title: 'Key', sort: (row) => row.name || row.id, cell: (row) => [row.name || row.id, h('div', { class: 'soft mono' }, `${row.prefix}…${row.last_four}`)] },
      { name: 'role', title: 'Role', sort: (row) => row.role, cell: (row) => chip(row.role, row.role === 'call' ? '' : 'accent') },
      { name: 'of', title: 'Belongs to', cell: (row) => [row.organisation, row.project, row.team, row.customer].filter(Boolean).join(' · ') || 'the installation' },
      { name: 'may', title: 'May', cell: (row) => [...row.models, ...row.routes.map((each) => `route ${each}`), ...row.endpoints, ...row.networks].join(', ') || 'everything of its role' },
      { name: 'ends', title: 'Ends', sort: (row) => row.expires ?? '9999', cell: (row) => (row.expires ? h('span', { title: when(row.expires) }, ago(row.expires)) : 'never') },
      { name: 'state', title: 'State', cell: (row) => (row.revoked ? chip('revoked', 'bad') : row.disabled ? chip('disabled', 'warn') : chip('works', 'good')) },
      { name: 'do', title: 'Action', cell: (row) => actions(row, may, reload) },
    ], found, { caption: 'Keys', sort: 'id', down: false, empty: 'No keys. Without any, whoever is on this machine may call.' });
  }));
}

function actions(row, may, reload) {
  const look = h('a', { href: link('live', '', { key: row.id }), class: 'button quiet' }, 'Requests');
  if (!may || row.revoked) return look;
  const path = `/keys/${encodeURIComponent(row.id)}`;
  const turn = async () => {
    await patch(path, { disabled: !row.disabled }, row.version);
    say(row.disabled ? 'The key works again.' : 'The key is refused from now on.');
    reload();
  };
  const rotate = async () => {
    const made = await form('Rotate this key?', [{ name: 'hours', label: 'Hours for which the old one still works', type: 'number', value: 24 }], 'Rotate', (values) => post(`${path}/rotate`, { overlap_s: (values.hours ?? 0) * 3600 }));
    if (made) { await reveal(made); reload(); }
  };
  const revoke = () => confirm(`End ${row.name || row.id} for good?`, 'Whoever uses it is refused at once. This cannot be taken back.', 'End it', async () => { await post(`${path}/revoke`); reload(); });
  return h('span', { class: 'row' }, look, h('button', { class: 'quiet', type: 'button', onclick: turn }, row.disabled ? 'Enable' : 'Disable'),
    h('button', { class: 'quiet', type: 'button', onclick: rotate }, 'Rotate'), h('button', { class: 'quiet danger', type: 'button', onclick: revoke }, 'End'));
}

function reveal(made) {
  const key = h('code', { class: 'secret', id: 'new-key' }, made.key);
  return show('The key', h('p', {}, 'It is shown this once. Copy it now.'), key, h('div', {}, copier(key)));
}

async function newKey(me, reload) {
  const made = await form('New key', [
    { name: 'name', label: 'Name', required: true, placeholder: 'checkout service' },
    { name: 'role', label: 'Role', type: 'select', value: 'call', options: { call: 'call: asks models', viewer: 'viewer: looks', operator: 'operator', admin: 'admin', scrape: 'scrape: reads metrics' } },
    ...(me.organisation ? [] : [{ name: 'organisation', label: 'Organisation' }]),
    { name: 'project', label: 'Project' }, { name: 'team', label: 'Team' }, { name: 'customer', label: 'Customer' },
    { name: 'models', label: 'Models it may ask', placeholder: 'openai/*, anthropic/claude-*', help: 'empty = all' },
    { name: 'routes', label: 'Routes it may use', help: 'empty = all' },
    { name: 'days', label: 'Days until it ends', type: 'number', help: 'empty = never' },
    { name: 'budget', label: 'Budget in US dollars a month', type: 'number', help: 'empty = none of its own' },
  ], 'Make it', async (values) => {
    const expires = values.days ? new Date(Date.now() + values.days * 86400000).toISOString() : null;
    const key = await post('/keys', given({ name: values.name, role: values.role, organisation: values.organisation ?? me.organisation, project: values.project, team: values.team, customer: values.customer, models: split(values.models), routes: split(values.routes), expires }));
    if (values.budget !== null) {
      await post('/budgets', given({ level: 'key', subject: key.document.id, usd: values.budget, per: 'month', organisation: key.document.organisation }));
    }
    return key;
  });
  if (made) { await reveal(made); reload(); }
}

function people(me, may, reload) {
  return card('People', may ? h('button', { type: 'button', onclick: () => invite(me, reload) }, 'Invite') : null, later(async () => {
    const found = await all('/users');
    return table([
      { name: 'name', title: 'Who', sort: (row) => row.name || row.email, cell: (row) => [row.name || row.email || row.id, h('div', { class: 'soft' }, row.email)] },
      { name: 'role', title: 'Role', sort: (row) => row.role, cell: (row) => chip(row.role, 'accent') },
      { name: 'organisation', title: 'Of', cell: (row) => row.organisation ?? 'the installation' },
      { name: 'seen', title: 'Signed in', sort: (row) => row.last_login ?? '', cell: (row) => (row.last_login ? ago(row.last_login) : 'never yet') },
      { name: 'state', title: 'State', cell: (row) => (row.disabled ? chip('disabled', 'warn') : chip('may sign in', 'good')) },
      { name: 'do', title: 'Action', cell: (row) => (may ? h('button', { class: 'quiet', type: 'button', onclick: async () => { await patch(`/users/${encodeURIComponent(row.id)}`, { disabled: !row.disabled }, row.version); reload(); } }, row.disabled ? 'Enable' : 'Disable') : '') },
    ], found, { caption: 'People', empty: 'Nobody yet. People sign in through your organisation’s provider; see `admin.oidc`.' });
  }));
}

async function invite(me, reload) {
  const made = await form('Invite somebody', [
    { name: 'email', label: 'E-mail', type: 'email', required: true }, { name: 'name', label: 'Name' },
    { name: 'role', label: 'Role', type: 'select', value: 'viewer', options: { viewer: 'viewer', operator: 'operator', admin: 'admin', owner: 'owner' } },
    ...(me.organisation ? [] : [{ name: 'organisation', label: 'Organisation', help: 'empty = the whole installation' }]),
  ], 'Invite', (values) => post('/users', given({ ...values, organisation: values.organisation ?? me.organisation })));
  if (made) { say('They have this role from their first sign-in on.'); reload(); }
}

function tokens(reload) {
  const make = async () => {
    const made = await form('New personal token', [{ name: 'name', label: 'Name', required: true }, { name: 'role', label: 'Role', type: 'select', value: 'viewer', options: { viewer: 'viewer', operator: 'operator', admin: 'admin', owner: 'owner' }, help: 'at most your own' }, { name: 'days', label: 'Days until it ends', type: 'number', value: 90, required: true }],
      'Make it', (values) => post('/tokens', { name: values.name, role: values.role, expires: new Date(Date.now() + values.days * 86400000).toISOString() }));
    if (made) { await reveal(made); reload(); }
  };
  return card('Personal tokens', h('button', { type: 'button', onclick: make }, 'New token'), later(async () => {
    const found = await all('/tokens');
    return table([
      { name: 'name', title: 'Token', cell: (row) => [row.name || row.id, h('div', { class: 'soft mono' }, `${row.prefix}…${row.last_four}`)] },
      { name: 'user', title: 'Of', cell: (row) => row.user }, { name: 'role', title: 'Role', cell: (row) => chip(row.role, 'accent') },
      { name: 'ends', title: 'Ends', cell: (row) => (row.revoked ? chip('revoked', 'bad') : ago(row.expires)) },
      { name: 'do', title: 'Action', cell: (row) => (row.revoked ? '' : h('button', { class: 'quiet danger', type: 'button', onclick: () => confirm('End this token?', 'Scripts that use it are refused at once.', 'End it', async () => { await post(`/tokens/${encodeURIComponent(row.id)}/revoke`); reload(); }) }, 'End')) },
    ], found, { caption: 'Personal tokens', empty: 'None. A personal token administers from scripts, with your role or less.' });
  }));
}

function owners(me, may, reload) {
  const kinds = { organisations: 'organisation', projects: 'project', teams: 'team', customers: 'customer' };
  const add = async (kind) => {
    const own = kind !== 'organisation';
    const made = await form(`New ${kind}`, [{ name: 'id', label: 'Id', required: true, placeholder: 'letters, digits, _ . : -' }, { name: 'name', label: 'Name' }, ...(own && !me.organisation ? [{ name: 'organisation', label: 'Organisation', required: true }] : [])],
      'Make it', (values) => post(`/${kind}s`, given({ ...values, ...(own ? { organisation: values.organisation ?? me.organisation } : {}) })));
    if (made) reload();
  };
  return h('div', { class: 'grid' }, Object.entries(kinds).map(([path, kind]) => card(path[0].toUpperCase() + path.slice(1), may && (kind !== 'organisation' || me.role === 'owner') ? h('button', { type: 'button', onclick: () => add(kind) }, 'New') : null, later(async () => {
    const found = await all(`/${path}`);
    if (!found.length) return empty('None yet.');
    return table([
      { name: 'id', title: 'Id', sort: (row) => row.id, cell: (row) => [row.id, row.name ? h('div', { class: 'soft' }, row.name) : null] },
      ...(kind === 'organisation' ? [] : [{ name: 'of', title: 'Of', cell: (row) => row.organisation }]),
      { name: 'state', title: 'State', cell: (row) => chips(row.disabled ? chip('disabled', 'warn') : chip('active', 'good'), row.content && chip('text may be stored')) },
    ], found, { caption: path, sort: 'id', down: false });
  }))));
}
