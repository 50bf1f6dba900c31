// Groups side by side: horizontal bars with their names and values, and the distribution of a number.

import { h, s } from '../lib/dom.js';
import { brief } from '../lib/format.js';
import { data, frame, labels, legend, room, rows, scale, ticks } from './frame.js';

/** @param {{name: string, value: number, href?: string, note?: string, colour?: string}[]} items greatest first */
export function bars(label, items, write) {
  const most = Math.max(1e-12, ...items.map((item) => item.value));
  return h('div', { class: 'stack', role: 'list', 'aria-label': label }, items.map((item) => h('div', { role: 'listitem', class: 'stack', style: { gap: '3px' } },
    h('div', { class: 'row spread' },
      item.href ? h('a', { href: item.href }, item.name) : h('span', {}, item.name),
      h('span', {}, write(item.value), item.note && h('small', {}, ` ${item.note}`))),
    h('div', { class: 'meter', 'aria-hidden': 'true' }, h('i', { style: { width: `${(item.value / most) * 100}%`, background: item.colour ?? 'var(--accent)' } })))));
}

/**
 * How often a number lies where, with marks such as a threshold.
 * @param {{label: string, edges: number[], groups: {name: string, counts: number[], colour: string}[], write: (n: number) => string,
 *   marks?: {at: number, name: string}[], height?: number}} of
 */
export function histogram(of) {
  const { edges, groups, write, height = 200 } = of;
  const n = edges.length - 1;
  const sums = Array.from({ length: n }, (_, at) => groups.reduce((sum, group) => sum + group.counts[at], 0));
  const steps = ticks(Math.max(1, ...sums), 4, { whole: true });
  const texts = labels(steps, brief);
  const draw = (width) => {
    const left = room(texts);
    const right = width - 8;
    const bottom = height - 22;
    const x = scale(edges[0], edges[n], left, right);
    const y = scale(0, steps.at(-1), bottom, 10 + 13 * (of.marks?.length ?? 0));
    const svg = s('svg', { height, viewBox: `0 0 ${width} ${height}` }, rows(steps, y, left, right, texts));
    for (let at = 0; at < n; at += 1) {
      let base = 0;
      for (const group of groups) {
        const top = base + group.counts[at];
        svg.append(s('rect', { x: x(edges[at]) + 0.5, width: Math.max(0.5, x(edges[at + 1]) - x(edges[at]) - 1), y: y(top), height: Math.max(0, y(base) - y(top)), fill: group.colour, rx: 1 }));
        base = top;
      }
    }
    const every = Math.max(1, Math.ceil(n / Math.max(2, Math.floor((right - left) / 70))));
    edges.forEach((edge, at) => { if (at % every === 0) svg.append(s('text', { x: x(edge), y: bottom + 16, 'text-anchor': 'middle' }, write(edge))); });
    for (const [at, mark] of (of.marks ?? []).entries()) {
      const end = x(mark.at) + mark.name.length * 6.3 + 8;
      const late = end > right || of.marks.some((other) => x(other.at) > x(mark.at) && x(other.at) < end); // no line through a name
      svg.append(s('line', { class: 'mark', x1: x(mark.at), x2: x(mark.at), y1: 4 + 13 * at, y2: bottom }),
        s('text', { class: 'on-mark', x: x(mark.at) + (late ? -4 : 4), y: 12 + 13 * at, 'text-anchor': late ? 'end' : 'start' }, mark.name));
    }
    return svg;
  };
  const numbers = sums.map((_, at) => [`${write(edges[at])} – ${write(edges[at + 1])}`, ...groups.map((group) => String(group.counts[at]))]);
  return frame(of.label, draw, [groups.length > 1 && legend(groups.map((group) => group.name), groups.map((group) => group.colour)), data(['From – to', ...groups.map((group) => group.name)], numbers)].filter(Boolean));
}
