// Where the reader is: `#/page/id?range=24h&route=chat`. All state that matters is in the address, so that it can be shared.

export const RANGES = { '1h': 3600, '6h': 21600, '24h': 86400, '7d': 604800, '30d': 2592000, '90d': 7776000 };
export const FILTERS = ['project', 'team', 'customer', 'tag', 'route', 'model', 'provider', 'key'];
const KEPT = ['range', 'since', 'until', ...FILTERS];

/** Read the address. */
export function here() {
  const [path, search] = location.hash.replace(/^#\/?/, '').split('?');
  const parts = path.split('/').map(decodeURIComponent);
  return { page: parts[0] || 'overview', id: parts.slice(1).join('/'), query: new URLSearchParams(search ?? '') };
}

/** Return the address of a page; range and filters go along unless they are replaced. */
export function link(page, id = '', changes = {}, keep = true) {
  const query = new URLSearchParams();
  if (keep) for (const name of KEPT) if (here().query.get(name)) query.set(name, here().query.get(name));
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === undefined || value === '') query.delete(name);
    else query.set(name, value);
  }
  const text = query.toString();
  const path = id ? `${page}/${id.split('/').map(encodeURIComponent).join('/')}` : page;
  return `#/${path}${text ? `?${text}` : ''}`;
}

/** Change parts of the address of the page that is shown. */
export function change(changes) {
  const { page, id, query } = here();
  const other = Object.fromEntries([...query].filter(([name]) => !KEPT.includes(name)));
  location.hash = link(page, id, { ...other, ...changes });
}

export const YESTERDAY = 'yesterday';

/** Midnight before an instant, so many days earlier, where the reader is. */
function midnight(now, days = 0) {
  const at = new Date(now);
  return new Date(at.getFullYear(), at.getMonth(), at.getDate() - days);
}

/** The chosen time: instants, the step that gives some hundred points, and the filters. */
export function range(now = Date.now()) {
  const { query } = here();
  const filters = Object.fromEntries(FILTERS.map((each) => [each, query.get(each)]).filter(([, value]) => value));
  const own = query.get('since');
  if (query.get('range') === YESTERDAY && !own) {
    const [since, until] = [midnight(now, 1), midnight(now)];
    return { name: YESTERDAY, since, until, span: (until - since) / 1000, step: 'hour', filters };
  }
  const name = RANGES[query.get('range')] ? query.get('range') : '24h';
  const until = query.get('until') ? new Date(query.get('until')) : new Date(Math.ceil(now / 60000) * 60000);
  const since = own ? new Date(own) : new Date(until.getTime() - RANGES[name] * 1000);
  const span = (until - since) / 1000;
  const step = span <= 21600 ? 'minute' : span <= 1209600 ? 'hour' : 'day';
  return { name: own ? 'custom' : name, since, until, span, step, filters };
}

export const STEP_MS = { minute: 60000, hour: 3600000, day: 86400000 };

/** Range and filters as the API takes them. */
export function asked(extra = {}) {
  const { since, until, filters } = range();
  return { since: since.toISOString(), until: until.toISOString(), ...filters, ...extra };
}
