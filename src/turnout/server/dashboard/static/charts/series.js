// Values over time: lines, or areas on top of each other.

import { h, s } from '../lib/dom.js';
import { tick, when } from '../lib/format.js';
import { COLOURS, data, frame, labels, legend, room, rows, scale, ticks, tip } from './frame.js';

/**
 * @param {{label: string, times: number[], stepMs: number, lines: {name: string, values: (number|null)[], colour?: string}[],
 *   write: (n: number) => string, stacked?: boolean, height?: number, limit?: {value: number, name: string}, least?: number,
 *   band?: {name: string, low: (number|null)[], high: (number|null)[]}}} of
 *   `times` are milliseconds, evenly spaced; null = nothing is known of that step, and the line has a gap. `least`: how far
 *   up the axis goes at least. `band`: an interval around the first line.
 */
export function series(of) {
  const { times, lines, write, stacked = false, height = 220 } = of;
  const colours = lines.map((line, at) => line.colour ?? COLOURS[at % COLOURS.length]);
  const sums = times.map((_, at) => lines.reduce((sum, line) => sum + (line.values[at] ?? 0), 0));
  const tops = stacked ? sums : lines.flatMap((line) => line.values.filter((value) => value !== null));
  const marks = ticks(Math.max(0, of.limit?.value ?? 0, ...(of.band?.high ?? []), ...tops), 4, { least: of.least, whole: tops.every(Number.isInteger) && !of.least });
  const texts = labels(marks, write);
  const most = marks.at(-1);

  const draw = (width, box) => {
    const left = room(texts);
    const right = width - 8;
    const bottom = height - 22;
    const x = scale(times[0], times.at(-1) + (times.length > 1 ? 0 : 1), left, right);
    const y = scale(0, most, bottom, 8);
    const svg = s('svg', { height, viewBox: `0 0 ${width} ${height}`, tabindex: '0' }, rows(marks, y, left, right, texts), dates(times, of.stepMs, x, bottom, right - left));
    const base = times.map(() => 0);
    const drawn = lines.map((line, at) => (stacked ? area(line.values, base, times, x, y, colours[at]) : path(line.values, times, x, y, colours[at])));
    if (of.band) svg.append(between(of.band, times, x, y, colours[0]));
    svg.append(...drawn.filter(Boolean).reverse()); // the first one is never hidden by another
    if (of.limit) {
      svg.append(s('line', { class: 'cross', x1: left, x2: right, y1: y(of.limit.value), y2: y(of.limit.value) }),
        s('text', { x: right, y: y(of.limit.value) - 5, 'text-anchor': 'end' }, of.limit.name));
    }
    point(svg, box, { times, lines, colours, write, band: of.band, x, y, top: 8, bottom, width });
    return svg;
  };
  const told = of.band ? [...lines, { name: `${of.band.name}: low`, values: of.band.low }, { name: `${of.band.name}: high`, values: of.band.high }] : lines;
  const heads = ['Time', ...told.map((line) => line.name)];
  const numbers = times.map((at, n) => [when(at), ...told.map((line) => (line.values[n] === null ? '–' : write(line.values[n])))]);
  return frame(of.label, draw, [lines.length > 1 && legend(lines.map((line) => line.name), colours), data(heads, numbers)].filter(Boolean));
}

/** An interval around a line, where it is known. */
function between({ low, high }, times, x, y, colour) {
  const known = times.map((_, at) => at).filter((at) => low[at] !== null && high[at] !== null);
  const to = (at, value) => `${x(times[at]).toFixed(1)} ${y(value).toFixed(1)}`;
  const d = `M${[...known.map((at) => to(at, high[at])), ...known.reverse().map((at) => to(at, low[at]))].join('L')}Z`;
  return s('path', { d: known.length > 1 ? d : '', fill: colour, 'fill-opacity': 0.16 });
}

function dates(times, stepMs, x, bottom, width) {
  const every = Math.max(1, Math.ceil(times.length / Math.max(2, Math.floor(width / 90))));
  const span = times.at(-1) - times[0];
  return times.filter((_, at) => at % every === 0).map((at) =>
    s('text', { x: x(at), y: bottom + 16, 'text-anchor': 'middle' }, tick(new Date(at), span > 172800000 ? 86400000 : stepMs)));
}

function path(values, times, x, y, colour) {
  let d = '';
  let pen = false;
  const alone = [];
  values.forEach((value, at) => {
    if (value === null) { pen = false; return; }
    d += `${pen ? 'L' : 'M'}${x(times[at]).toFixed(1)} ${y(value).toFixed(1)}`;
    if (!pen && (values[at + 1] ?? null) === null) alone.push(s('circle', { cx: x(times[at]), cy: y(value), r: 2, fill: colour }));
    pen = true;
  });
  return s('g', {}, s('path', { d, fill: 'none', stroke: colour, 'stroke-width': 2, 'stroke-linejoin': 'round' }), alone);
}

function area(values, base, times, x, y, colour) {
  if (!values.some(Boolean)) return null; // a line of nothing would hide the one below
  const lower = base.map((value, at) => `${x(times[at]).toFixed(1)} ${y(value).toFixed(1)}`).reverse();
  values.forEach((value, at) => { base[at] += value ?? 0; });
  const upper = base.map((value, at) => `${x(times[at]).toFixed(1)} ${y(value).toFixed(1)}`);
  const edge = upper.map((point_, at) => `${at && (values[at] || values[at - 1]) ? 'L' : 'M'}${point_}`); // nothing has no edge
  return s('g', {},
    s('path', { d: `M${upper.join('L')}L${lower.join('L')}Z`, fill: colour, 'fill-opacity': 0.28 }),
    s('path', { d: edge.join(''), fill: 'none', stroke: colour, 'stroke-width': 1.5 }));
}

// The line under the pointer, or under the arrow keys.
function point(svg, box, of) {
  const cross = s('line', { class: 'cross', y1: of.top, y2: of.bottom, visibility: 'hidden' });
  const box_ = tip(box);
  svg.append(cross);
  let at = null;
  const show = (n) => {
    at = Math.max(0, Math.min(of.times.length - 1, n));
    const x = of.x(of.times[at]);
    cross.setAttribute('x1', x);
    cross.setAttribute('x2', x);
    cross.setAttribute('visibility', 'visible');
    box_.at(x, of.top, h('strong', {}, when(of.times[at])), h('table', {}, of.lines.map((line, n_) => h('tr', {},
      h('td', {}, h('span', { class: 'key legend-key', style: { color: of.colours[n_] } }, '■ '), line.name),
      h('td', { class: 'num' }, line.values[at] === null ? '–' : of.write(line.values[at])))),
      of.band && of.band.low[at] !== null && h('tr', {}, h('td', {}, of.band.name), h('td', { class: 'num' }, `${of.write(of.band.low[at])} – ${of.write(of.band.high[at])}`))));
  };
  const hide = () => { cross.setAttribute('visibility', 'hidden'); box_.hide(); at = null; };
  const nearest = (event) => {
    const x = event.clientX - svg.getBoundingClientRect().left;
    let best = 0;
    of.times.forEach((time, n) => { if (Math.abs(of.x(time) - x) < Math.abs(of.x(of.times[best]) - x)) best = n; });
    show(best);
  };
  svg.addEventListener('pointermove', nearest);
  svg.addEventListener('pointerleave', hide);
  svg.addEventListener('blur', hide);
  svg.addEventListener('keydown', (event) => {
    const moves = { ArrowLeft: -1, ArrowRight: 1 };
    if (event.key === 'Escape') hide();
    else if (event.key in moves) { show((at ?? (moves[event.key] > 0 ? -1 : of.times.length)) + moves[event.key]); event.preventDefault(); }
  });
}

/** What judges said of answers, day by day, with the interval. `rows`: {at, mean, low, high}. */
export function judged(rows) {
  return series({
    label: 'Judged quality over time', times: rows.map((each) => new Date(each.at).getTime()), stepMs: 86400000, write: (n) => n.toFixed(2), least: 1,
    lines: [{ name: 'mean', values: rows.map((each) => each.mean) }],
    band: { name: '95 % interval', low: rows.map((each) => each.low), high: rows.map((each) => each.high) },
  });
}
