// Two numbers of each thing: cost against quality, latency against price.

import { h, s } from '../lib/dom.js';
import { COLOURS, data, frame, labels, legend, room, rows, scale, ticks, tip } from './frame.js';

const LETTER = 6.1;
const LINE = 13;
const NARROW = 480; // pixels: of a name only what stands behind the provider

/**
 * @param {{label: string, points: {name: string, x: number, y: number, colour?: string, low?: number, high?: number, strong?: boolean}[],
 *   xName: string, yName: string, writeX: (n: number) => string, writeY: (n: number) => string, xFrom?: number, yFrom?: number,
 *   line?: {x: number, y: number}[], height?: number, quiet?: boolean}} of  `low`, `high`: the interval of y; `line`: a curve
 *   through the plane, such as the frontier; `quiet`: names are in the box beside the pointer and in the numbers alone.
 */
export function scatter(of) {
  const { points, writeX, writeY, height = 280 } = of;
  const all = [...points, ...(of.line ?? [])];
  const [fromX, from] = [of.xFrom ?? 0, of.yFrom ?? 0];
  const xs = ticks(Math.max(0, ...all.map((point) => point.x - fromX))).map((mark) => mark + fromX);
  const ys = ticks(Math.max(0, ...all.map((point) => (point.high ?? point.y) - from))).map((mark) => mark + from);
  const [xTexts, yTexts] = [labels(xs, writeX), labels(ys, writeY)];
  const colours = points.map((point, at) => point.colour ?? COLOURS[at % COLOURS.length]);
  const key = legend(points.map((point) => point.name), colours); // where a name has no room at its point
  const draw = (width, box) => {
    const left = room(yTexts);
    const right = width - Math.max(12, (xTexts.at(-1).length * LETTER) / 2);
    const bottom = height - 40;
    const x = scale(fromX, xs.at(-1), left, right);
    const y = scale(from, ys.at(-1), bottom, 22);
    const every = Math.ceil((Math.max(...xTexts.map((text) => text.length)) * LETTER + 14) / ((right - left) / Math.max(1, xs.length - 1)));
    const svg = s('svg', { height, viewBox: `0 0 ${width} ${height}` }, rows(ys, y, left, right, yTexts),
      xs.map((mark, at) => at % every === 0 && s('text', { x: x(mark), y: bottom + 16, 'text-anchor': 'middle' }, xTexts[at])),
      s('text', { x: right, y: height - 4, 'text-anchor': 'end' }, `${of.xName} →`),
      s('text', { x: left, y: 10 }, `↑ ${of.yName}`));
    if (of.line?.length) {
      svg.append(s('path', { d: `M${of.line.map((point) => `${x(point.x)} ${y(point.y)}`).join('L')}`, class: 'frontier' }));
    }
    const box_ = tip(box);
    const where = of.quiet ? [] : names(points, { x, y, left, right: width, bottom });
    key.hidden = of.quiet || where.every(Boolean);
    points.forEach((point, at) => svg.append(dot(point, colours[at], where[at], { x, y, of, box_ })));
    return svg;
  };
  const numbers = points.map((point) => [point.name, writeX(point.x), writeY(point.y)]);
  return frame(of.label, draw, [key, data(['', of.xName, of.yName], numbers)]);
}

const meets = (a, b) => a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;

/** Where each name stands so that none covers another or a point; null = nowhere: it is in the legend. */
function names(points, { x, y, left, right, bottom }) {
  const own = points.map((point) => ({ x: x(point.x) - 6, y: y(point.y) - 6, w: 12, h: 12 }));
  const near = own.map((each) => ({ x: each.x - 8, y: each.y - 6, w: each.w + 16, h: each.h + 12 })); // a name beside another point would be its name
  const taken = [...own];
  taken.push(...points.filter((point) => point.low !== undefined).map((point) => ({ x: x(point.x) - 1, y: y(point.high), w: 2, h: y(point.low) - y(point.high) })));
  const wide = right > NARROW;
  return points.map((point, at) => {
    const short = point.name.slice(point.name.indexOf('/') + 1);
    for (const text of wide ? [point.name, short] : [short]) {
      const place = around(text, x(point.x), y(point.y)).find((each) =>
        each.x >= left && each.x + each.w <= right && each.y >= 12 && each.y + LINE <= bottom && !taken.some((other) => meets(each, other)) && !near.some((other, n) => n !== at && meets(each, other)));
      if (place) {
        taken.push(place);
        return { ...place, text };
      }
    }
    return null;
  });
}

/** Places around a point, the best first. */
function around(text, cx, cy) {
  const w = text.length * LETTER;
  return [[cx + 10, cy - 6], [cx - 10 - w, cy - 6], [cx + 8, cy - 19], [cx + 8, cy + 7], [cx - w / 2, cy - 22], [cx - w / 2, cy + 9], [cx - w - 8, cy - 19], [cx - w - 8, cy + 7]]
    .map(([x, y]) => ({ x, y, w, h: LINE }));
}

function dot(point, colour, place, { x, y, of, box_ }) {
  const { writeX, writeY } = of;
  const [cx, cy] = [x(point.x), y(point.y)];
  const show = () => box_.at(cx, cy, h('strong', {}, point.name), h('div', {}, `${of.yName}: ${writeY(point.y)}`), h('div', {}, `${of.xName}: ${writeX(point.x)}`));
  return s('g', { tabindex: '0', role: 'img', 'aria-label': `${point.name}: ${of.yName} ${writeY(point.y)}, ${of.xName} ${writeX(point.x)}`, onpointerenter: show, onfocus: show, onpointerleave: box_.hide, onblur: box_.hide },
    point.low !== undefined && s('line', { x1: cx, x2: cx, y1: y(point.low), y2: y(point.high), stroke: colour, 'stroke-width': 1.5, 'stroke-opacity': 0.6 }),
    s('circle', { cx, cy, r: point.strong ? 7 : 5, fill: colour, stroke: 'var(--card)', 'stroke-width': 1.5 }),
    place && s('text', { x: place.x, y: place.y + 10 }, place.text));
}
