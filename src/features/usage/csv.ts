import type { ListedUsage } from './schemas.js';

/** Columns of the file, in order; they are fields of {@link ListedUsage}. */
const COLUMNS = [
  'occurred_at',
  'provider',
  'model',
  'source',
  'prompts',
  'input_tokens',
  'output_tokens',
  'total_tokens',
  'cost',
  'provenance',
  'url',
  'user_id',
  'device_id',
  'id',
] as const satisfies readonly (keyof ListedUsage)[];

/** Reads the page after a row, or the first. An empty page is the end. */
export type ReadPage = (after: ListedUsage | undefined) => Promise<readonly ListedUsage[]>;

/** One cell (RFC 4180). Text a spreadsheet would take for a formula is given a quote in front. */
function cellOf(value: string | number | null): string {
  const text = typeof value === 'string' && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value ?? '');
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function lineOf(event: ListedUsage): string {
  return `${COLUMNS.map((column) => cellOf(event[column])).join(',')}\r\n`;
}

/**
 * Usage events as CSV with a header line, page by page: only one page is in memory at a time.
 * @throws {DatabaseError} in the middle of it, when the database goes away or the session ends
 */
export async function* usageCsv(first: readonly ListedUsage[], readPage: ReadPage): AsyncGenerator<string> {
  yield `${COLUMNS.join(',')}\r\n`;
  for (let page = first; page.length > 0; page = await readPage(page.at(-1))) {
    yield page.map(lineOf).join('');
  }
}
