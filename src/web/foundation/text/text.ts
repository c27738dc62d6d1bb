import { signal } from '@preact/signals';
import type { ComponentChild } from 'preact';
import { keep, recall } from '../kept-choice.js';
import type english from './en.json';

/** Every text there is; `en.json` is the model of the other languages. */
type Texts = typeof english;

/** Paths of all texts below a part of them, such as `common.retry`. */
type Paths<Part, Wanted> = {
  [Name in keyof Part & string]: Part[Name] extends Wanted
    ? Name
    : Part[Name] extends string
      ? never
      : `${Name}.${Paths<Part[Name], Wanted>}`;
}[keyof Part & string];

/** Names a text. */
export type TextKey = Paths<Texts, string>;
/** Names a text with a form for each number, such as "1 event" and "2 events". */
export type PluralKey = Paths<Texts, { readonly one: string; readonly other: string }>;
/** What stands in for the `{names}` in a text; numbers are written as the language does. */
export type Values = Readonly<Record<string, string | number>>;

/** Languages there are, by their own names. To add one: its name here, its loader below, and its file of texts. */
export const LANGUAGES = { en: 'English', de: 'Deutsch' } as const;
export type Language = keyof typeof LANGUAGES;

const LOADERS: Readonly<Record<Language, () => Promise<{ readonly default: unknown }>>> = {
  en: () => import('./en.json'),
  de: () => import('./de.json'),
};

const isLanguage = (name: string): name is Language => Object.hasOwn(LANGUAGES, name);
const NAMES = Object.keys(LANGUAGES).filter(isLanguage);

const texts = signal<unknown>({});
/** The language the page speaks. */
export const language = signal<Language>('en');

/** The first language of the browser's list that there are texts in. */
function findOwnLanguage(): Language {
  const wanted = navigator.languages.map((tag) => tag.split('-')[0] ?? '');
  return wanted.find(isLanguage) ?? 'en';
}

async function speak(next: Language): Promise<void> {
  const loaded = await LOADERS[next]();
  texts.value = loaded.default;
  language.value = next;
  document.documentElement.lang = next;
}

/** Loads the texts of the language that was chosen before, or else of the browser's. */
export function loadTexts(): Promise<void> {
  return speak(recall('language', NAMES) ?? findOwnLanguage());
}

/**
 * Changes the language, for the next visits too.
 * @returns whether its texts could be loaded; otherwise all stays as it is
 */
export async function chooseLanguage(next: Language): Promise<boolean> {
  try {
    await speak(next);
  } catch {
    // The connection broke, or the server was replaced by one with other files.
    return false;
  }
  keep('language', next);
  return true;
}

/** The tag numbers and dates are written by: the browser's own variant of the language, such as en-GB. */
export function findLocale(): string {
  return navigator.languages.find((tag) => tag.split('-')[0] === language.value) ?? language.value;
}

function find(key: string): unknown {
  let part: unknown = texts.value;
  for (const name of key.split('.'))
    part = typeof part === 'object' && part !== null ? Reflect.get(part, name) : undefined;
  return part;
}

/** Letters that are written from the right, and what turns the direction. */
const TURNS = /[\p{Script=Hebrew}\p{Script=Arabic}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Nko}\p{Bidi_Control}]/u;

/** Keeps what somebody named something from turning around the sentence it stands in. */
const isolate = (value: string): string => (TURNS.test(value) ? `\u2068${value}\u2069` : value);

function fill(text: string, values: Values): string {
  const write = (value: string | number) =>
    typeof value === 'number' ? new Intl.NumberFormat(findLocale()).format(value) : isolate(value);
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => {
    const value = values[name];
    return value === undefined ? whole : write(value);
  });
}

/** Returns a text in the language of the page. Components that call it are drawn anew when the language changes. */
export function t(key: TextKey, values: Values = {}): string {
  const text = find(key);
  return typeof text === 'string' ? fill(text, values) : key;
}

/** Returns the text whose name is known only at run time, or undefined where there is none. */
export function findText(key: string, values: Values = {}): string | undefined {
  const text = find(key);
  return typeof text === 'string' ? fill(text, values) : undefined;
}

/** Returns the form of a text that goes with a number, which stands in for `{count}`. */
export function plural(key: PluralKey, count: number, values: Values = {}): string {
  const form = new Intl.PluralRules(findLocale()).select(count);
  const text = find(`${key}.${form}`) ?? find(`${key}.other`);
  return typeof text === 'string' ? fill(text, { count, ...values }) : key;
}

/** Returns a text with elements, such as links, in the place of its `{names}`. */
export function rich(key: TextKey, parts: Readonly<Record<string, ComponentChild>>): ComponentChild[] {
  return t(key)
    .split(/(\{\w+\})/)
    .map((piece) => parts[piece.slice(1, -1)] ?? piece);
}
