// Who nobody is signed in as yet: a key, or the organisation's own sign-in.

import { ask } from '../lib/api.js';
import { h, put } from '../lib/dom.js';
import { problem } from './parts.js';

/** The page that asks who is there; `done` is called once somebody is. */
export function login(done) {
  const failure = h('div');
  const other = h('div');
  const key = h('input', { type: 'password', name: 'key', required: true, autocomplete: 'current-password', spellcheck: 'false', id: 'key' });
  const send = async (event) => {
    event.preventDefault();
    try {
      await ask('POST', '/auth/session', { key: key.value }, { quiet: true });
      key.value = '';
      done();
    } catch (error) {
      put(failure, problem(error.status === 401 ? { message: 'This key is not valid here.' } : error));
    }
  };
  ask('GET', '/auth/ways', undefined, { quiet: true }).then((ways) => {
    if (ways.provider) put(other, h('a', { class: 'button', href: '/auth/login' }, `Sign in with ${ways.provider}`));
  }, () => {});
  return h('main', { class: 'login', id: 'main' }, h('div', { class: 'card' },
    h('div', { class: 'row' }, h('img', { src: '/ui/icon.svg', alt: '', width: 34, height: 34 }), h('h1', {}, 'Turnout')),
    h('form', { class: 'form', onsubmit: send }, h('label', { class: 'field' }, 'Admin key or personal token', key),
      h('button', { class: 'main', type: 'submit' }, 'Sign in')),
    failure, other, h('p', { class: 'soft' }, 'It is used once to begin a session and is not kept in this browser.')));
}
