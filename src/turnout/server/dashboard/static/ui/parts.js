// Cards, tiles, tables and small signs.

import { h, put } from '../lib/dom.js';
import { NONE } from '../lib/format.js';

/** A titled piece of a page. */
export function card(title, about, ...children) {
  const head = title ? h('header', {}, h('h2', {}, title), about && (typeof about === 'string' ? h('p', {}, about) : about)) : null;
  return h('section', { class: 'card' }, head, ...children);
}

/** One number with its name. */
export function tile(label, value, note, tone) {
  return h('div', { class: 'tile' },
    h('span', { class: 'label' }, label),
    h('span', { class: `value ${tone ?? ''} ${String(value).length > 12 && !/[$%·]/.test(value) ? 'long' : ''}` }, value),
    note && h('span', { class: 'note' }, note));
}

export const chip = (text, tone) => h('span', { class: `chip ${tone ?? ''}`, title: text }, text);
export const chips = (...each) => h('span', { class: 'chips' }, ...each);

/** A text in which what stands between backticks is code. */
export const prose = (text) => text.split('`').map((part, at) => (at % 2 ? h('code', {}, part) : part));

/** What stands where there is nothing yet; say what to do. */
export const empty = (text, ...more) => h('div', { class: 'empty' }, [text, ...more].map((each) => (typeof each === 'string' ? h('p', {}, prose(each)) : each)));

/** A failure, in the gateway's words; `again` tries it once more. */
export function problem(error, again) {
  return h('div', { class: 'problem', role: 'alert' }, h('strong', {}, error.status === 403 ? 'Not allowed' : 'That did not work'), h('span', {}, error.message),
    again && error.status !== 403 && h('div', {}, h('button', { type: 'button', onclick: again }, 'Try again')));
}

/** Pairs of name and value; what is not known is left out. */
export function facts(pairs) {
  const known = pairs.filter(([, value]) => value !== null && value !== undefined && value !== '' && value !== NONE);
  return h('dl', { class: 'facts' }, known.map(([name, value]) => [h('dt', {}, name), h('dd', {}, value)]));
}

/** Show `wait` until the work is done, then what it returns, or its failure. */
export function later(work, wait = 'Loading…') {
  const box = h('div', { class: 'stack' });
  const start = () => {
    put(box, h('p', { class: 'wait', role: 'status' }, wait));
    Promise.resolve().then(work).then((found) => put(box, found), (error) => {
      if (error.name !== 'AbortError') put(box, problem(error, start));
    });
  };
  start();
  return box;
}

/**
 * A table that can be sorted.
 * Columns: {name, title, cell(row), sort?(row), num?, tight?}. Options: {href?(row), sort?, down?, empty?, caption, kept?};
 * `kept` is an object in which the order that was chosen outlives the table.
 */
export function table(columns, rows, options = {}) {
  if (!rows.length) return empty(options.empty ?? 'Nothing here yet.');
  const kept = options.kept ?? {};
  let by = kept.by ?? options.sort ?? null;
  let down = kept.down ?? options.down ?? true;
  const body = h('tbody');
  const heads = columns.map((column) => h('th', { scope: 'col', class: column.num ? 'num' : '' },
    column.sort ? h('button', { type: 'button', onclick: () => turn(column) }, column.title) : column.title));
  const draw = () => {
    const sorting = columns.find((column) => column.name === by);
    const ordered = sorting ? [...rows].sort((a, b) => compare(sorting.sort(a), sorting.sort(b)) * (down ? -1 : 1)) : rows;
    columns.forEach((column, at) => {
      if (column.name === by) heads[at].setAttribute('aria-sort', down ? 'descending' : 'ascending');
      else heads[at].removeAttribute('aria-sort');
    });
    put(body, ordered.map((row) => line(columns, row, options.href)));
  };
  const turn = (column) => {
    down = by === column.name ? !down : true;
    by = column.name;
    Object.assign(kept, { by, down });
    draw();
  };
  draw();
  return h('div', { class: 'table', tabindex: '0', role: 'region', 'aria-label': options.caption ?? 'Table' },
    h('table', {}, options.caption && h('caption', { class: 'visually-hidden' }, options.caption), h('thead', {}, h('tr', {}, heads)), body));
}

function line(columns, row, href) {
  const to = href?.(row);
  const open = (event) => {
    if (to && !event.target.closest('a, button, input, select, label')) location.hash = to;
  };
  return h('tr', { 'data-href': to, onclick: open }, columns.map((column, at) => {
    const held = column.cell(row) ?? NONE;
    const shown = to && at === 0 && typeof held === 'string' ? h('a', { href: to }, held) : held;
    return h('td', { class: column.num ? 'num' : column.tight ? 'tight' : '' }, shown);
  }));
}

function compare(a, b) {
  if (a === b) return 0;
  if (a === null || a === undefined) return -1;
  if (b === null || b === undefined) return 1;
  return a < b ? -1 : 1;
}

/** A button that copies what an element holds; where a page may not, as on plain HTTP, it is selected instead. */
export function copier(shown) {
  const button = h('button', { class: 'quiet', type: 'button', onclick: async () => {
    try {
      await navigator.clipboard.writeText(shown.textContent);
      button.textContent = 'Copied';
    } catch {
      getSelection().selectAllChildren(shown);
      button.textContent = 'Selected: copy it with the keyboard';
    }
  } }, 'Copy');
  return button;
}

/** A text to be taken elsewhere, as it is. */
export function code(text) {
  const shown = h('pre', { class: 'code', tabindex: '0' }, text);
  return h('div', { class: 'stack' }, shown, h('div', {}, copier(shown)));
}

/** A choice of what things are counted by, in the head of a card. */
export function by(label, choices, chosen, pick) {
  return h('label', { class: 'by soft' }, 'by ', h('select', { 'aria-label': label, onchange: (event) => pick(event.target.value) },
    choices.map((each) => h('option', { value: each, selected: each === chosen }, each))));
}

/** Buttons of which one is pressed. `choices`: {value: title}. */
export function segments(label, choices, chosen, pick) {
  return h('div', { class: 'segments', role: 'group', 'aria-label': label }, Object.entries(choices).map(([value, title]) =>
    h('button', { type: 'button', 'aria-pressed': String(value === chosen), onclick: () => pick(value) }, title)));
}

/** How full something is. */
export function meter(share, label) {
  const size = Math.max(0, Math.min(1, share));
  const fill = h('i', { class: share >= 1 ? 'bad' : share >= 0.8 ? 'warn' : '', style: { width: `${size * 100}%` } });
  return h('div', { class: 'meter', role: 'meter', 'aria-valuemin': 0, 'aria-valuemax': 100, 'aria-valuenow': Math.round(size * 100), 'aria-label': label }, fill);
}
