// Questions to the reader, and short news.

import { h } from '../lib/dom.js';
import { problem } from './parts.js';

const shelf = h('div', { class: 'toasts', 'aria-live': 'polite' });

/** Say something that goes away by itself. */
export function say(text, tone) {
  if (!shelf.isConnected) document.body.append(shelf);
  const toast = h('div', { class: `toast ${tone ?? ''}`, role: 'status' }, text);
  shelf.append(toast);
  setTimeout(() => toast.remove(), 6000);
}

/**
 * Open a form. `fields`: [{name, label, type, value, options, required, help}]; `done(values)` may throw: its
 * failure is shown and the dialog stays open. Returns what `done` returned, or null when it was cancelled.
 */
export function form(title, fields, action, done, about) {
  return new Promise((resolve) => {
    const failure = h('div');
    const submit = h('button', { class: 'main', type: 'submit' }, action);
    const dialog = h('dialog', { 'aria-label': title }, h('form', { onsubmit: send },
      h('h2', {}, title), about && h('p', { class: 'soft' }, about),
      h('div', { class: 'form' }, fields.map(field)), failure,
      h('footer', {}, h('button', { type: 'button', onclick: () => dialog.close() }, 'Cancel'), submit)));
    let outcome = null;
    async function send(event) {
      event.preventDefault();
      submit.disabled = true;
      try {
        outcome = (await done(read(event.target, fields))) ?? true;
        dialog.close();
      } catch (error) {
        failure.replaceChildren(problem(error));
      } finally {
        submit.disabled = false;
      }
    }
    open(dialog, () => resolve(outcome));
  });
}

/** Show something until it is closed. */
export function show(title, ...children) {
  return new Promise((resolve) => {
    const dialog = h('dialog', { 'aria-label': title, class: 'large' }, h('div', { class: 'body' },
      h('h2', {}, title), ...children,
      h('footer', {}, h('button', { class: 'main', type: 'button', onclick: () => dialog.close() }, 'Close'))));
    open(dialog, resolve);
  });
}

/** Ask before something that cannot be taken back. */
export const confirm = (title, about, action, done) => form(title, [], action, done, about);

function open(dialog, closed) {
  const before = document.activeElement;
  dialog.addEventListener('close', () => {
    dialog.remove();
    before?.focus?.();
    closed();
  });
  document.body.append(dialog);
  dialog.showModal();
}

function field({ name, label, type = 'text', value, options, required, help, placeholder }) {
  const props = { name, required, placeholder, id: `field-${name}` };
  let input;
  if (type === 'select') {
    input = h('select', props, Object.entries(options).map(([key, title]) => h('option', { value: key, selected: key === String(value ?? '') }, title)));
  } else if (type === 'text-area') {
    input = h('textarea', { ...props, rows: 6 }, value ?? '');
  } else if (type === 'check') {
    return h('label', { class: 'row' }, h('input', { ...props, type: 'checkbox', checked: value ? true : null }), label);
  } else {
    input = h('input', { ...props, type, value: value ?? '', step: type === 'number' ? 'any' : null, autocomplete: 'off' });
  }
  return h('label', { class: 'field' }, label, input, help && h('small', {}, help));
}

function read(from, fields) {
  const values = {};
  for (const { name, type } of fields) {
    const input = from.elements[name];
    if (type === 'check') values[name] = input.checked;
    else if (type === 'number') values[name] = input.value === '' ? null : Number(input.value);
    else values[name] = input.value.trim() || null;
  }
  return values;
}
