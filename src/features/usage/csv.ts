import { type Options, stringify } from 'csv-stringify/sync';
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
  'nano_usd',
] as const satisfies readonly (keyof ListedUsage)[];

/** Reads the page after a row, or the first. An empty page is the end. */
export type ReadPage = (after: ListedUsage | undefined) => Promise<readonly ListedUsage[]>;

/** What begins a cell for spreadsheets in other languages, whatever quotes are around it, before what begins a formula. */
const INNER_FORMULA = /(?<=.)[;\t\r\n](?=\s*[=+\-@])/gs;

/** RFC 4180, with a quote in front of text that a spreadsheet would take for a formula. */
const FORMAT: Options = {
  cast: { string: (text) => text.replace(INNER_FORMULA, "$&'") },
  columns: COLUMNS,
  record_delimiter: 'windows',
  quote_record_delimiter: true,
  escape_formulas: true,
};

/**
 * Yields usage events as CSV with a header line, page by page: only one page is in memory at a time.
 * @throws {DatabaseError} in the middle of it, when the database goes away or the session ends
 */
export async function* usageCsv(first: readonly ListedUsage[], readPage: ReadPage): AsyncGenerator<string> {
  yield stringify([], { ...FORMAT, header: true });
  for (let page = first; page.length > 0; page = await readPage(page.at(-1))) {
    yield stringify([...page], FORMAT);
  }
}
