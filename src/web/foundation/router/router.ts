import { computed, signal } from '@preact/signals';
import { type Query, toQuery } from '../api/send.js';

/**
 * Views are named behind the `#`: `dashboard#/devices?sort=used`. So a page is one document under one path, links to its
 * views can be kept and sent, and the server need not know them.
 */
const hash = signal(location.hash);

function split(text: string): { path: string; query: URLSearchParams } {
  const [path = '', query = ''] = text.replace(/^#/, '').split('?', 2);
  return { path: path === '' ? '/' : path, query: new URLSearchParams(query) };
}

/** Where the page is: the path of the view, and its query. */
export const route = computed(() => split(hash.value));

/** Whether the view was chosen since the page was loaded: only then the focus moves to its heading. */
let moved = false;

window.addEventListener('hashchange', () => {
  moved ||= hash.value !== location.hash;
  hash.value = location.hash;
});

/** Returns the address of a view, for links. */
export function toHref(path: string, query: Query = {}): string {
  return `#${path}${toQuery(query)}`;
}

/** Goes to a view. @param options.replace leaves no step in the history, as for filters */
export function go(path: string, query: Query = {}, { replace = false } = {}): void {
  const target = toHref(path, query);
  if (target === location.hash) return;
  if (replace) {
    history.replaceState(null, '', target);
    hash.value = target;
  } else location.hash = target;
}

/** Changes some members of the query of the view that is shown. */
export function setQuery(changes: Query): void {
  const { path, query } = route.value;
  go(path, { ...Object.fromEntries(query), ...changes }, { replace: true });
}

/** Returns whether the view was chosen since the page was loaded, or what is shown has changed otherwise. */
export const wasMoved = (): boolean => moved;

/** Notes that what is shown next is not what the page began with, such as after a sign-in. */
export function noteMove(): void {
  moved = true;
}

/** Decodes a part of a path; undefined for what nobody can have encoded, such as a link that was cut off. */
function decode(part: string): string | undefined {
  try {
    return decodeURIComponent(part);
  } catch {
    return undefined;
  }
}

/** Compares a path with a pattern such as `/devices/:id`; returns what the names stand for, or undefined. */
export function match(pattern: string, path: string): Readonly<Record<string, string>> | undefined {
  const [wanted, given] = [pattern.split('/'), path.split('/')];
  if (wanted.length !== given.length) return undefined;
  const names: Record<string, string> = {};
  for (const [position, part] of wanted.entries()) {
    const value = given[position] ?? '';
    if (part.startsWith(':')) {
      const name = decode(value);
      if (name === undefined) return undefined;
      names[part.slice(1)] = name;
    } else if (part !== value) return undefined;
  }
  return names;
}
