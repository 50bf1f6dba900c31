// Two numbers of each thing: cost against quality, latency against price.

import { h, s } from '../lib/dom.js';
import { COLOURS, data, frame, room, rows, scale, ticks, tip } from './frame.js';

/**
 * @param {{label: string, points: {name: string, x: number, y: number, colour?: string, low?: number, high?: number, strong?: boolean}[],
 *   xName: string, yName: string, writeX: (n: number) => string, writeY: (n: number) => string, yFrom?: number, line?: {x: number, y: number}[],
 *   height?: number}} of  `low`, `high`: the interval of y; `line`: a curve through the plane, such as the frontier.
 */
export function scatter(of) {
  const { points, writeX, writeY, height = 280 } = of;
  const all = [...points, ...(of.line ?? [])];
  const xs = ticks(Math.max(0, ...all.map((point) => point.x)));
  const yMost = Math.max(0, ...all.map((point) => point.high ?? point.y));
  const from = of.yFrom ?? 0;
  const ys = ticks(yMost - from).map((mark) => mark + from);
  const draw = (width, box) => {
    const left = room(ys.map(writeY));
    const right = width - 12;
    const bottom = height - 40;
    const x = scale(0, xs.at(-1), left, right);
    const y = scale(from, ys.at(-1), bottom, 10);
    const svg = s('svg', { height, viewBox: `0 0 ${width} ${height}` }, rows(ys, y, left, right, writeY),
      xs.map((mark) => s('text', { x: x(mark), y: bottom + 16, 'text-anchor': 'middle' }, writeX(mark))),
      s('text', { x: right, y: height - 4, 'text-anchor': 'end' }, `${of.xName} →`),
      s('text', { x: left, y: 8 }, `↑ ${of.yName}`));
    if (of.line?.length) {
      svg.append(s('path', { d: `M${of.line.map((point) => `${x(point.x)} ${y(point.y)}`).join('L')}`, fill: 'none', stroke: 'var(--accent)', 'stroke-width': 2 }));
    }
    const box_ = tip(box);
    points.forEach((point, at) => svg.append(dot(point, point.colour ?? COLOURS[at % COLOURS.length], { x, y, right, writeX, writeY, of, box_ })));
    return svg;
  };
  const numbers = points.map((point) => [point.name, writeX(point.x), writeY(point.y)]);
  return frame(of.label, draw, [data(['', of.xName, of.yName], numbers)]);
}

function dot(point, colour, { x, y, right, writeX, writeY, of, box_ }) {
  const [cx, cy] = [x(point.x), y(point.y)];
  const end = cx > right - 120;
  const show = () => box_.at(cx, cy, h('strong', {}, point.name), h('div', {}, `${of.yName}: ${writeY(point.y)}`), h('div', {}, `${of.xName}: ${writeX(point.x)}`));
  return s('g', { tabindex: '0', role: 'img', 'aria-label': `${point.name}: ${of.yName} ${writeY(point.y)}, ${of.xName} ${writeX(point.x)}`, onpointerenter: show, onfocus: show, onpointerleave: box_.hide, onblur: box_.hide },
    point.low !== undefined && s('line', { x1: cx, x2: cx, y1: y(point.low), y2: y(point.high), stroke: colour, 'stroke-width': 1.5, 'stroke-opacity': 0.6 }),
    s('circle', { cx, cy, r: point.strong ? 7 : 5, fill: colour, stroke: 'var(--card)', 'stroke-width': 1.5 }),
    s('text', { x: end ? cx - 9 : cx + 9, y: cy + 4, 'text-anchor': end ? 'end' : 'start' }, point.name));
}
