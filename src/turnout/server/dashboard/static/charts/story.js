// One request drawn: its attempts over time, and its plan as a tree.

import { h, s } from '../lib/dom.js';
import { seconds, words } from '../lib/format.js';
import { frame, scale, ticks } from './frame.js';

const TONE = { ok: 'var(--good)', failed: 'var(--bad)', rejected: 'var(--warn)', cancelled: 'var(--c8)', lost: 'var(--c8)' };

/** Bars from start to end of each attempt; the part before the first content is lighter. */
export function timeline(record) {
  const total = Math.max(record.outcome.total_s ?? 0, ...record.attempts.map((each) => each.start_s + each.duration_s), 0.001);
  const height = record.attempts.length * 40 + 26;
  const marks = ticks(total, 5).filter((mark) => mark <= total * 1.0001);
  const draw = (width) => {
    const x = scale(0, total, 0, width - 2);
    const bottom = height - 22;
    const svg = s('svg', { height, viewBox: `0 0 ${width} ${height}` }, marks.map((mark) => s('g', {},
      s('line', { class: 'grid-line', x1: x(mark), x2: x(mark), y1: 0, y2: bottom }),
      s('text', { x: x(mark), y: height - 6, 'text-anchor': mark === 0 ? 'start' : mark > total * 0.93 ? 'end' : 'middle' }, seconds(mark)))));
    record.attempts.forEach((each, at) => {
      const [from, to] = [x(each.start_s), x(each.start_s + each.duration_s)];
      const first = each.ttft_s === undefined || each.ttft_s === null ? to : x(each.start_s + each.ttft_s);
      const y = at * 40;
      const name = `${each.n}. ${each.deployment}: ${words(each.error ?? each.outcome)}, ${seconds(each.duration_s)}`;
      svg.append(s('text', { x: Math.min(from, Math.max(0, width - name.length * 6)), y: y + 12 }, name),
        s('rect', { x: from, y: y + 18, width: Math.max(2, to - from), height: 12, rx: 3, fill: TONE[each.outcome] ?? TONE.lost, 'fill-opacity': 0.35 }),
        s('rect', { x: first, y: y + 18, width: Math.max(0, to - first), height: 12, rx: 3, fill: TONE[each.outcome] ?? TONE.lost }));
    });
    return svg;
  };
  const told = record.attempts.map((each) => `attempt ${each.n} at ${each.deployment}: ${words(each.error ?? each.outcome)} after ${seconds(each.duration_s)}`).join('; ');
  return frame(`Timeline: ${told}`, draw);
}

/** A plan as nested lists: what is tried, and in what order. `plan` is the tree of docs/reference: `{"sequence": […]}`. */
export function tree(plan, used = new Set()) {
  if (plan === null || plan === undefined) return h('p', { class: 'soft' }, 'No plan was made.');
  return h('ul', { class: 'tree' }, node(plan, used));
}

const MEANING = {
  sequence: 'one after the other, until one answers',
  cascade: 'cheapest first, until an answer is accepted',
  hedge: 'the second starts when the first is late',
  fanout: 'all at once, then one answer from all',
};

function node(plan, used) {
  const kind = Object.keys(plan).find((name) => name === 'try' || name in MEANING) ?? Object.keys(plan)[0];
  if (kind === 'try') {
    const called = used.has(plan.try);
    return h('li', {}, h('span', { class: `chip ${called ? 'good' : ''}` }, plan.try), called && h('small', {}, ' was asked'));
  }
  const rules = [plan.accept && `accepted by ${plan.accept}`, plan.reduce && `joined by ${plan.reduce}`, plan.delay_s !== undefined && `after ${seconds(plan.delay_s)}`];
  return h('li', {},
    h('span', { class: 'chip accent' }, kind), ' ', h('small', {}, [MEANING[kind], ...rules].filter(Boolean).join('; ')),
    h('ul', {}, plan[kind].map((child) => node(child, used))));
}
