import { randomUUID } from 'node:crypto';

type Fields = Readonly<Record<string, unknown>>;

/** A JSON text whose numbers a double would change stand as marked strings. */
interface Marked {
  readonly text: string;
  /** Begins the marked strings; clients cannot know it. */
  readonly mark: string;
}

/** The numbers that were lost of what was parsed, for as long as that lives. */
const markedBodies = new WeakMap<object, { readonly members: Fields; readonly mark: string }>();

/** Decimal digits a double keeps at least (IEEE 754, binary64). */
const SAFE_DIGITS = 15;
const NUMBER = /-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const isNumberStart = (code: number) => code === 0x2d || (code >= 0x30 && code <= 0x39);

/** Returns whether a number may come out of a double as another one. */
function mayChange(number: string): boolean {
  if (number.length <= SAFE_DIGITS && !/e/i.test(number)) return false;
  const [mantissa = ''] = number.split(/e/i);
  const digits = mantissa.replace(/[-.]/g, '').replace(/^0+/, '');
  return digits.length > SAFE_DIGITS || !Number.isFinite(Number(number)) || (digits !== '' && Number(number) === 0);
}

/** Returns where the string that begins at a quotation mark ends, in valid JSON. */
function findStringEnd(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end !== -1; end = text.indexOf('"', end + 1)) {
    let backslashes = 0;
    while (text[end - 1 - backslashes] === '\\') backslashes += 1;
    if (backslashes % 2 === 0) return end + 1;
  }
  return text.length;
}

/** Marks the numbers of a valid JSON text that would change; undefined where none would. */
function markNumbers(text: string): Marked | undefined {
  const mark = randomUUID();
  const pieces: string[] = [];
  let copied = 0;
  for (let index = 0; index < text.length; ) {
    const code = text.charCodeAt(index);
    if (code === 0x22) index = findStringEnd(text, index);
    else if (!isNumberStart(code)) index += 1;
    else {
      NUMBER.lastIndex = index;
      const number = NUMBER.exec(text)?.[0] ?? '-';
      if (mayChange(number)) {
        pieces.push(text.slice(copied, index), `"${mark}:${number}"`);
        copied = index + number.length;
      }
      index += number.length;
    }
  }
  return pieces.length === 0 ? undefined : { text: pieces.join('') + text.slice(copied), mark };
}

/** Remembers how the numbers of a parsed object stood in its text, where JavaScript's cannot hold them. */
export function rememberNumbers(value: unknown, text: string): void {
  if (typeof value !== 'object' || value === null) return;
  const marked = markNumbers(text);
  if (marked !== undefined) markedBodies.set(value, { members: JSON.parse(marked.text), mark: marked.mark });
}

/**
 * Writes an object as JSON. Members that are a received object's own stand as they were received: a whole number beyond
 * 2⁵³ keeps its digits.
 */
export function stringifyExactly(fields: Fields, received: Fields): string {
  const remembered = markedBodies.get(received);
  if (remembered === undefined) return JSON.stringify(fields);
  const { members, mark } = remembered;
  const restored = Object.entries(fields).map(([name, value]) => [
    name,
    value === received[name] ? members[name] : value,
  ]);
  return JSON.stringify(Object.fromEntries(restored)).replaceAll(new RegExp(`"${mark}:([^"]*)"`, 'g'), '$1');
}
