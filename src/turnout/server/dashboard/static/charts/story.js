// One request drawn: its attempts over time, and its plan as a tree.

import { h, s } from '../lib/dom.js';
import { nusd, seconds, words } from '../lib/format.js';
import { chip } from '../ui/parts.js';
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

const MEANING = {
  sequence: 'one after the other, until one answers',
  cascade: 'cheapest first, until an answer is accepted',
  hedge: 'the next starts when the one before is late',
  fanout: 'all at once, then one answer of all',
};
const ORDERED = new Set(['sequence', 'cascade', 'hedge']);

/**
 * A plan as a tree: what is tried, in what order, by which rule one goes on, and what came of it.
 * `plan` is the tree of docs/reference: `{"sequence": […]}`; `attempts` are those of the Record.
 */
export function tree(plan, attempts = []) {
  if (plan === null || plan === undefined) return h('p', { class: 'soft' }, 'No plan was made.');
  const ends = new Map();
  for (const each of attempts) ends.set(each.deployment, [...(ends.get(each.deployment) ?? []), each]);
  return h('ul', { class: 'tree' }, node(plan, ends, null));
}

function node(plan, ends, n) {
  const kind = Object.keys(plan).find((name) => name === 'try' || name in MEANING) ?? Object.keys(plan)[0];
  const number = n && h('span', { class: 'step', 'aria-hidden': 'true' }, String(n));
  if (kind === 'try') return leaf(plan.try, ends.get(plan.try) ?? [], number);
  const rules = [plan.accept && `accepted by ${words(plan.accept)}`, plan.reduce && `joined by ${words(plan.reduce)}`, plan.delay_s !== undefined && `after ${seconds(plan.delay_s)}`];
  return h('li', {},
    h('div', { class: 'node' }, number, h('span', { class: 'chip accent' }, words(kind)), h('small', {}, [MEANING[kind], ...rules].filter(Boolean).join('; '))),
    h('ul', {}, plan[kind].map((child, at) => node(child, ends, ORDERED.has(kind) && plan[kind].length > 1 ? at + 1 : null))));
}

const TONES = { ok: 'good', failed: 'bad', rejected: 'warn' };

function leaf(name, attempts, number) {
  const told = attempts.map((each) => chip([words(each.error ?? each.verdict ?? (each.outcome === 'ok' ? 'answered' : each.outcome)), seconds(each.duration_s), each.cost_nusd && nusd(each.cost_nusd)].filter(Boolean).join(' · '), TONES[each.outcome]));
  return h('li', { class: attempts.length ? 'asked' : '' }, h('div', { class: 'node' }, number, h('strong', {}, name), told.length ? [h('span', { class: 'visually-hidden' }, 'was asked'), told] : h('small', {}, 'not needed')));
}
