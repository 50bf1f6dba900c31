// The admin API. Every page goes through here, so that sign-in, refusals and failures look the same everywhere.

export class Refused extends Error {
  constructor(status, message, code, param) {
    super(message);
    this.status = status;
    this.code = code;
    this.param = param;
  }
}

let proof = null; // what shows a write to come from this page (see /auth/me)
let onSignedOut = () => {};

/** Call this when the gateway says that nobody is signed in. */
export const whenSignedOut = (call) => { onSignedOut = call; };
export const setProof = (value) => { proof = value; };

/** Ask the gateway; return the decoded answer. Throws `Refused` with the gateway's own words. */
export async function ask(method, path, body, options = {}) {
  const headers = { accept: 'application/json', ...options.headers };
  if (body !== undefined) headers['content-type'] = options.type ?? 'application/json';
  if (proof && method !== 'GET') headers['x-turnout-csrf'] = proof;
  let response;
  try {
    response = await fetch(path, {
      method, headers, signal: options.signal, credentials: 'same-origin',
      body: body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Refused(0, 'The gateway cannot be reached.', 'unreachable');
  }
  const text = await response.text();
  const tree = text && (response.headers.get('content-type') ?? '').includes('json') ? JSON.parse(text) : null;
  if (!response.ok) {
    const error = tree?.error ?? {};
    if (response.status === 401 && !options.quiet) onSignedOut();
    throw new Refused(response.status, error.message ?? `The gateway answered ${response.status}.`, error.class ?? error.code, error.details?.param ?? error.param);
  }
  return options.whole ? { tree, text, headers: response.headers } : tree ?? text;
}

const query = (params) => {
  const found = new URLSearchParams();
  for (const [name, value] of Object.entries(params ?? {})) {
    if (value !== null && value !== undefined && value !== '') found.set(name === 'key' ? 'key_id' : name, value);
  }
  const text = found.toString();
  return text ? `?${text}` : '';
};

/** GET under /admin/v1. */
export const get = (path, params, options) => ask('GET', `/admin/v1${path}${query(params)}`, undefined, options);
export const post = (path, body, options) => ask('POST', `/admin/v1${path}`, body ?? {}, options);
export const patch = (path, body, version) =>
  ask('PATCH', `/admin/v1${path}`, body, version === undefined ? {} : { headers: { 'if-match': `"${version}"` } });
export const remove = (path, version) =>
  ask('DELETE', `/admin/v1${path}`, undefined, version === undefined ? {} : { headers: { 'if-match': `"${version}"` } });

/** GET every page of a list, up to `most` rows. */
export async function all(path, params, most = 1000) {
  const rows = [];
  let after = null;
  do {
    const page = await get(path, { ...params, after, limit: Math.min(most - rows.length, 100) });
    rows.push(...page.data);
    after = page.has_more ? page.next : null;
  } while (after && rows.length < most);
  return rows;
}
