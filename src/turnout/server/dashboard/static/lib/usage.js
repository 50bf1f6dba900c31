// Usage as the API tells it, with money as numbers, so that it can be added up and drawn.

import { get } from './api.js';

const number = (text) => (text === null || text === undefined ? null : Number(text));

/** `kind`: totals, series or top. `row.group` is what the row is of; '' = the requests had none. */
export async function usage(kind, params) {
  const found = await get(`/usage/${kind}`, params);
  const by = found.by ?? [];
  return found.data.map((row) => ({
    ...row, cost: number(row.cost_usd), strong: number(row.always_strong_usd), saved: number(row.saved_usd),
    group: by.map((name) => row[name] ?? '').join(' · '),
  }));
}
