// What all charts share: a size that follows the page, scales, axes, colours, and the same data as a table.

import { h, put, s } from '../lib/dom.js';

export const COLOURS = Array.from({ length: 8 }, (_, at) => `var(--c${at + 1})`);

/** Draw again whenever the width changes. `draw(width)` returns an `<svg>`; `table` is for who cannot see it. */
export function frame(label, draw, extra = []) {
  const holder = h('div', { class: 'canvas' });
  const box = h('div', { class: 'chart' }, holder, ...extra);
  let width = 0;
  new ResizeObserver(([entry]) => {
    const now = Math.floor(entry.contentRect.width);
    if (now && now !== width) {
      width = now;
      const svg = draw(width, box);
      if (!svg.getAttribute('role')) svg.setAttribute('role', 'img');
      svg.setAttribute('aria-label', label);
      put(holder, svg);
    }
  }).observe(holder);
  return box;
}

/** Round steps from 0 to at least `value`: [0, 20, 40, 60]. `least`: how far up the axis goes at least; `whole`: of things that are counted. */
export function ticks(value, wanted = 4, { least = 0, whole = false } = {}) {
  const most = Math.max(value, least);
  if (!(most > 0)) return [0, 1];
  const rough = most / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((each) => each * power).filter((each) => !whole || Number.isInteger(each)).find((each) => each >= rough) ?? 1;
  const found = [];
  for (let at = 0; at < most + step * 0.999; at += step) found.push(Number(at.toPrecision(12)));
  return found;
}

const NUMBER = /^([^\d]*)([\d.,]+)([^\d]*)$/;
const INEXACT = 1e-9;

/** The texts of an axis, all in the unit of its end and with as many decimals as one of them needs: 0 s, 2.5 s, 5.0 s. */
export function labels(marks, write) {
  const plain = marks.map(write);
  const [, before, digits, after] = NUMBER.exec(plain.at(-1)) ?? [];
  const end = marks.at(-1);
  const shown = Number(digits?.replaceAll(',', ''));
  const factor = 10 ** Math.round(Math.log10(shown / end));
  if (!(end > 0) || Math.abs(shown / (end * factor) - 1) > 0.02) return plain;
  const values = marks.map((mark) => mark * factor);
  const decimals = [0, 1, 2, 3, 4].find((n) => values.every((value) => Math.abs(Number(value.toFixed(n)) - value) < INEXACT * end * factor)) ?? 4;
  const plainZero = `${before}0${after.startsWith(' ') ? after : ''}`; // 0 s, $0, and 0 before 10K
  return values.map((value) => (value === 0 ? plainZero : `${before}${value.toLocaleString('en-US', { minimumFractionDigits: decimals, maximumFractionDigits: decimals })}${after}`));
}

/** From a range of values to a range of pixels. */
export const scale = (low, high, from, to) => (value) => from + ((value - low) / (high - low || 1)) * (to - from);

/** Horizontal lines with their values. */
export function rows(marks, y, left, right, texts) {
  return marks.map((mark, at) => s('g', {},
    s('line', { class: at === 0 ? 'axis-line' : 'grid-line', x1: left, x2: right, y1: y(mark), y2: y(mark) }),
    s('text', { x: left - 8, y: y(mark) + 4, 'text-anchor': 'end' }, texts[at])));
}

/** Room that the longest of these texts needs, in pixels. */
export const room = (texts) => 14 + Math.max(0, ...texts.map((text) => text.length)) * 6.3;

export function legend(names, colours = COLOURS) {
  return h('ul', { class: 'legend' }, names.map((name, at) => h('li', {}, h('span', { class: 'key', style: { background: colours[at % colours.length] } }), name)));
}

/** The numbers behind a chart, folded away. */
export function data(heads, lines) {
  const body = h('tbody');
  const fill = (event) => {
    if (event.target.open && !body.children.length) {
      put(body, lines.map((line) => h('tr', {}, line.map((cell, at) => h(at ? 'td' : 'th', at ? { class: 'num' } : { scope: 'row' }, cell)))));
    }
  };
  return h('details', { class: 'data', ontoggle: fill }, h('summary', {}, 'Numbers'),
    h('div', { class: 'table', tabindex: '0', role: 'region', 'aria-label': 'Numbers of the chart' },
      h('table', {}, h('thead', {}, h('tr', {}, heads.map((head, at) => h('th', { scope: 'col', class: at ? 'num' : '' }, head)))), body)));
}

/** A box beside the pointer. */
export function tip(box) {
  const element = h('div', { class: 'tip', hidden: true });
  box.append(element);
  return {
    at(x, y, ...children) {
      put(element, ...children);
      element.hidden = false;
      const room_ = box.clientWidth - element.offsetWidth;
      const wished = x + 14 > room_ ? x - element.offsetWidth - 14 : x + 14;
      element.style.left = `${Math.max(0, Math.min(room_, wished))}px`;
      element.style.top = `${Math.max(0, y)}px`;
    },
    hide() { element.hidden = true; },
  };
}
