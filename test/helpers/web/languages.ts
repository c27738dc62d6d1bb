import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { PROJECT_ROOT } from '../../../src/platform/project-root.js';

const FOLDER = join(PROJECT_ROOT, 'src/web/foundation/text');
/** Texts that say so little that a name or a number could read the same. */
const SHORTEST = 4;

/** What the server records for a provider or model that nobody named: a value, not a text. */
const NAMELESS = 'unknown';

/** Everything a page says: what is written, and what is read out or shown on demand; no values, ids and other code. */
const SAID = `(() => {
  const said = new Set([document.title]);
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node !== null; node = walker.nextNode()) {
    if (node.parentElement.closest('script, style, code, pre') === null) said.add(node.data.trim());
  }
  for (const name of ['aria-label', 'title', 'placeholder', 'data-label', 'alt']) {
    for (const element of document.querySelectorAll('[' + name + ']')) said.add(element.getAttribute(name));
  }
  return [...said];
})()`;

function flatten(part: unknown): string[] {
  return typeof part === 'string' ? [part] : Object.values(part ?? {}).flatMap(flatten);
}

async function readTexts(language: string): Promise<string[]> {
  return flatten(JSON.parse(await readFile(join(FOLDER, `${language}.json`), 'utf8')));
}

/** Returns what says a text in a language by its name, as pages do. */
export async function openTexts(language: 'en' | 'de') {
  const texts: unknown = JSON.parse(await readFile(join(FOLDER, `${language}.json`), 'utf8'));
  return (key: string, values: Readonly<Record<string, string | number>> = {}): string => {
    let part = texts;
    for (const name of key.split('.'))
      part = typeof part === 'object' && part !== null ? Reflect.get(part, name) : undefined;
    if (typeof part === 'object' && part !== null) part = Reflect.get(part, values['count'] === 1 ? 'one' : 'other');
    if (typeof part !== 'string') throw new Error(`there is no text ${key}`);
    return part.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
  };
}

/** Matches a text whatever stands in for its placeholders; a count is a number. */
function toPattern(text: string): RegExp {
  const parts = text.split(/(\{\w+\})/).map((part) => {
    if (part === '{count}') return '[\\d.,]+';
    return /^\{\w+\}$/.test(part) ? '.+' : part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  });
  return new RegExp(`^${parts.join('')}$`);
}

let patterns: Promise<readonly RegExp[]> | undefined;

/** Returns patterns of the English texts that another language says otherwise. */
async function readForeign(language: string): Promise<readonly RegExp[]> {
  const [english, own] = [await readTexts('en'), new Set(await readTexts(language))];
  const isTelling = (text: string) => text.replace(/\{\w+\}/g, '').trim().length >= SHORTEST;
  const ours = [...own].map(toPattern);
  return english
    .filter((text) => !own.has(text) && isTelling(text) && !ours.some((pattern) => pattern.test(text)))
    .map(toPattern);
}

/** Finds what a page that speaks German says in English. */
export async function findEnglish(page: Page): Promise<string[]> {
  patterns ??= readForeign('de');
  const foreign = await patterns;
  const said = await page.evaluate<string[]>(SAID);
  return said.filter((text) => text !== NAMELESS && foreign.some((pattern) => pattern.test(text)));
}
