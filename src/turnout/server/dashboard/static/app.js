// The frame of the dashboard: who is signed in, where the reader is, and the page for it.

import { ask, setProof, whenSignedOut } from './lib/api.js';
import { h, put } from './lib/dom.js';
import { timeZone } from './lib/format.js';
import { FILTERS, RANGES, YESTERDAY, change, here, link, range } from './lib/place.js';
import { chip, problem } from './ui/parts.js';
import { login } from './ui/login.js';

const PLACES = {
  Traffic: { overview: 'Overview', live: 'Live traffic', models: 'Models & providers', alerts: 'Alerts' },
  Routing: { routes: 'Routes', evaluate: 'Evaluate', playground: 'Playground' },
  Control: { spend: 'Spend & budgets', keys: 'Keys & people', guards: 'Guards', cache: 'Cache', audit: 'Audit' },
};
const TITLES = { ...PLACES.Traffic, ...PLACES.Routing, ...PLACES.Control, request: 'Request' };
const RANGED = new Set(['overview', 'live', 'models', 'routes', 'spend', 'guards', 'cache', 'evaluate']);

const app = document.getElementById('app');
let me = null;
let leave = null; // what the page that is shown wants done when it goes

whenSignedOut(() => { if (me) signIn(); });
window.addEventListener('hashchange', () => show(true));
document.querySelector('.skip').addEventListener('click', (event) => { // the address is of pages, not of places in them
  event.preventDefault();
  document.getElementById('main')?.focus();
});
theme(localStorage.getItem('theme'));
begin();

async function begin() {
  try {
    const { known } = await ask('GET', '/auth/ways', undefined, { quiet: true });
    if (!known) return signIn();
    me = await ask('GET', '/auth/me', undefined, { quiet: true });
    setProof(me.csrf ?? null);
    await show();
  } catch (error) {
    if (error.status === 401) signIn();
    else put(app, h('main', { id: 'main' }, problem(error, begin)));
  }
}

function signIn() {
  me = null;
  leave?.();
  leave = null;
  document.title = 'Sign in · Turnout';
  put(app, login(begin));
}

async function show(moved = false) {
  if (!me) return;
  const held = document.activeElement?.getAttribute('aria-label');
  const { page, id } = here();
  const title = TITLES[page];
  leave?.();
  leave = null;
  document.title = `${title ?? 'Not found'} · Turnout`;
  const main = h('main', { id: 'main', tabindex: '-1', 'aria-labelledby': 'title' }, h('p', { class: 'wait', role: 'status' }, 'Loading…'));
  const heading = h('h1', { id: 'title' }, page === 'request' ? id : title ?? 'Not found');
  put(app, h('div', { class: 'frame' }, rail(page), h('div', { class: 'stage' }, bar(page, heading), main, h('p', { class: 'zone soft' }, `Times are told in ${timeZone()}.`))));
  const back = refocus(held);
  if (moved && !back) main.focus();
  try {
    if (!title) throw Object.assign(new Error(`There is no page “${page}”.`), { status: 404 });
    const found = await import(`./pages/${page}.js`);
    const shown = await found.default({ id, me, onLeave: (call) => { leave = call; }, reload: () => show() });
    if (here().page === page && here().id === id) {
      put(main, shown);
      if (!back) refocus(held);
    }
  } catch (error) {
    put(main, problem(error, error.status === 404 ? null : () => show()), error.status === 404 && h('p', {}, h('a', { href: link('overview') }, 'To the overview')));
  }
}

/** What had the keyboard was drawn again: give it back. */
function refocus(label) {
  const again = label && document.querySelector(`:is(button, select, input)[aria-label="${CSS.escape(label)}"]`);
  again?.focus();
  return Boolean(again);
}

function rail(page) {
  const close = (event) => {
    if (event.key !== 'Escape' || !menu.classList.contains('open')) return;
    menu.classList.remove('open');
    document.querySelector('.menu-button').focus();
  };
  const menu = h('nav', { class: 'rail', id: 'rail', 'aria-label': 'Pages', onkeydown: close },
    h('a', { class: 'brand', href: link('overview') }, h('img', { src: '/ui/icon.svg', alt: '' }), 'Turnout'),
    Object.entries(PLACES).map(([group, places]) => [h('h2', {}, group), Object.entries(places).map(([name, title]) =>
      h('a', { class: 'place', href: link(name), 'aria-current': name === page || (page === 'request' && name === 'live') ? 'page' : null, onclick: () => menu.classList.remove('open') }, title))]),
    h('footer', {},
      h('span', {}, `${me.name || me.id} `, chip(me.role)),
      h('div', { class: 'row' },
        h('button', { class: 'quiet', type: 'button', onclick: turn }, 'Light or dark'),
        me.csrf ? h('button', { class: 'quiet', type: 'button', onclick: signOut }, 'Sign out') : null)));
  return menu;
}

function bar(page, heading) {
  const open = () => {
    const menu = document.getElementById('rail');
    menu.classList.toggle('open');
    menu.querySelector('a.place')?.focus();
  };
  return h('header', { class: 'bar' },
    h('button', { class: 'menu-button', type: 'button', 'aria-controls': 'rail', onclick: open }, 'Menu'),
    heading, RANGED.has(page) ? controls() : null);
}

function controls() {
  const now = range();
  const chosen = Object.entries(now.filters);
  return h('div', { class: 'row', role: 'group', 'aria-label': 'What is shown' },
    chosen.map(([name, value]) => h('button', { type: 'button', class: 'chip accent', title: 'Remove this filter', onclick: () => change({ [name]: null }) }, `${name}: ${value} ×`)),
    chosen.length < FILTERS.length ? filterForm(now) : null,
    h('select', { 'aria-label': 'Time range', onchange: (event) => change({ range: event.target.value, since: null, until: null }) },
      now.name === 'custom' && h('option', { selected: true }, 'as linked'),
      Object.keys(RANGES).map((name) => h('option', { value: name, selected: name === now.name }, `last ${name}`)),
      h('option', { value: YESTERDAY, selected: now.name === YESTERDAY }, 'yesterday')));
}

function filterForm(now) {
  const pick = h('select', { 'aria-label': 'Filter by' }, h('option', { value: '' }, 'Filter by …'), FILTERS.filter((name) => !now.filters[name]).map((name) => h('option', { value: name }, name)));
  const value = h('input', { type: 'search', 'aria-label': 'Value of the filter', placeholder: 'value', size: 14, hidden: true });
  pick.addEventListener('change', () => { value.hidden = !pick.value; if (pick.value) value.focus(); });
  return h('form', { class: 'row', onsubmit: (event) => {
    event.preventDefault();
    if (pick.value && value.value.trim()) change({ [pick.value]: value.value.trim() });
  } }, pick, value);
}

function theme(name) {
  if (name) document.documentElement.dataset.theme = name;
  else delete document.documentElement.dataset.theme;
}

function turn() {
  const dark = matchMedia('(prefers-color-scheme: dark)').matches;
  const next = (document.documentElement.dataset.theme ?? (dark ? 'dark' : 'light')) === 'dark' ? 'light' : 'dark';
  localStorage.setItem('theme', next);
  theme(next);
}

async function signOut() {
  await ask('POST', '/auth/logout', {}, { quiet: true }).catch(() => {});
  signIn();
}
