// How numbers, money and times are written, everywhere the same.

const NUMBERS = 'en-US'; // the language of the page
const LOCALE = undefined; // dates and times are written as the reader is used to
const whole = new Intl.NumberFormat(NUMBERS);
const short = new Intl.NumberFormat(NUMBERS, { notation: 'compact', maximumSignificantDigits: 3 });
const dateTime = new Intl.DateTimeFormat(LOCALE, { dateStyle: 'medium', timeStyle: 'medium' });
const timeOnly = new Intl.DateTimeFormat(LOCALE, { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const dayOnly = new Intl.DateTimeFormat(LOCALE, { month: 'short', day: 'numeric' });
const minuteOnly = new Intl.DateTimeFormat(LOCALE, { hour: '2-digit', minute: '2-digit' });

const zone = new Intl.DateTimeFormat(LOCALE, { timeZoneName: 'shortOffset' });

/** Where times are told: Europe/Berlin, GMT+1. */
export function timeZone(now = new Date()) {
  const name = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const offset = zone.formatToParts(now).find((part) => part.type === 'timeZoneName')?.value;
  return name === 'UTC' ? name : `${name} (${offset})`;
}

export const NONE = '–';

/** 1234567 → 1,234,567 */
export const count = (n) => (n === null || n === undefined ? NONE : whole.format(n));

/** 1 request, 1,234 requests */
export const many = (n, word) => `${count(n)} ${word}${n === 1 ? '' : 's'}`;

/** 1234567 → 1.23M */
export const brief = (n) => (n === null || n === undefined ? NONE : Math.abs(n) < 10000 ? whole.format(Math.round(n * 100) / 100) : short.format(n));

/** US dollars, given as a decimal text or a number: as many digits as it takes to see it. */
export function usd(value) {
  if (value === null || value === undefined || value === '') return NONE;
  const n = Number(value);
  if (n === 0) return '$0';
  const size = Math.abs(n);
  const sign = n < 0 ? '−' : '';
  if (size >= 100000) return `${sign}$${short.format(size)}`;
  if (size >= 1) return `${sign}$${size.toLocaleString(NUMBERS, { minimumFractionDigits: 2, maximumFractionDigits: 2 })}`;
  if (size >= 0.01) return `${sign}$${size.toFixed(4).replace(/0{1,2}$/, '')}`;
  return `${sign}$${Number(size.toPrecision(3)).toFixed(9).replace(/0+$/, '')}`;
}

export const nusd = (nano) => (nano === null || nano === undefined ? NONE : usd(nano / 1e9));

/** Seconds → 12 ms, 1.25 s, 2 min 5 s */
export function seconds(value) {
  if (value === null || value === undefined) return NONE;
  if (value === 0) return '0 s';
  if (value < 0.001) return `${Math.round(value * 1e6)} µs`;
  if (value < 1) return `${Math.round(value * 1000)} ms`;
  if (value < 60) return `${value < 10 ? value.toFixed(2) : value.toFixed(1)} s`;
  if (value < 3600) return `${Math.floor(value / 60)} min${Math.round(value % 60) ? ` ${Math.round(value % 60)} s` : ''}`;
  if (value < 172800) return `${Number((value / 3600).toFixed(1))} h`;
  return `${Math.round(value / 86400)} days`;
}

/** 0.1234 → 12.3 % */
export function percent(share, digits = 1) {
  if (share === null || share === undefined || Number.isNaN(share)) return NONE;
  return `${(share * 100).toFixed(share > 0 && share < 0.001 ? 2 : digits)} %`;
}

export const when = (text) => (text ? dateTime.format(new Date(text)) : NONE);

/** The time of day; of another day than today its date as well. */
export function clock(text, now = new Date()) {
  const at = new Date(text);
  return at.toDateString() === now.toDateString() ? timeOnly.format(at) : `${dayOnly.format(at)}, ${timeOnly.format(at)}`;
}

/** The mark on a time axis, as fine as the step. */
export function tick(date, stepMs) {
  return stepMs >= 86400000 ? dayOnly.format(date) : minuteOnly.format(date);
}

/** 3 min ago, in 2 days */
export function ago(text, now = Date.now()) {
  if (!text) return NONE;
  const left = (new Date(text).getTime() - now) / 1000;
  const words = new Intl.RelativeTimeFormat(LOCALE, { numeric: 'auto' });
  const steps = [['second', 60], ['minute', 60], ['hour', 24], ['day', 30], ['month', 12], ['year', Infinity]];
  let size = left;
  for (const [unit, most] of steps) {
    if (Math.abs(size) < most) return words.format(Math.round(size), unit);
    size /= most;
  }
  return when(text);
}

/** 'provider_error' → 'provider error' */
export const words = (text) => (text ? String(text).replaceAll('_', ' ') : NONE);
