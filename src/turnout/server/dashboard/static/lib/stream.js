// One streamed answer of this gateway, event by event.

/** Yield the chunks of a response that streams. */
export async function* chunks(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    rest += value;
    const frames = rest.split('\n\n');
    rest = frames.pop();
    for (const frame of frames) {
      const data = frame.split('\n').filter((line) => line.startsWith('data:')).map((line) => line.slice(5).trim()).join('\n');
      if (data && data !== '[DONE]') yield JSON.parse(data);
    }
  }
}

/** The failure that a response tells of, in the gateway's words where it has any. */
export async function failure(response) {
  const text = await response.text();
  let message = `The gateway answered ${response.status}.`;
  try {
    message = JSON.parse(text).error.message;
  } catch { /* not of this gateway: a proxy's page, for example */ }
  return Object.assign(new Error(message), { status: response.status });
}

/** Calls of tools, put together from their fragments. */
export class Calls {
  constructor() { this.all = []; }

  take(fragments) {
    for (const each of fragments) {
      const call = this.all[each.index ?? 0] ??= { name: '', arguments: '' };
      call.name += each.function?.name ?? '';
      call.arguments += each.function?.arguments ?? '';
    }
  }
}

/** JSON indented, or the text as it is where it is none. */
export function indented(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
