import { type Static, Type } from '@sinclair/typebox';
import { FILE_PAGE_ROWS } from '../../platform/http/files.js';

/** The members that give a row's position in its list; all others are passed on unread. */
const RowSchema = Type.Object({
  id: Type.String(),
  created_at: Type.String(),
  occurred_at: Type.Optional(Type.String()),
});
type Row = Static<typeof RowSchema>;
/** A page of any of the lists. */
export const RowsSchema = Type.Array(RowSchema);

interface Page {
  readonly p_limit: number;
  readonly p_after_at?: string;
  readonly p_after_id?: string;
}

/** Lists that may be long and are read in pages: each one's name in the file, and the function that returns a page. */
const SECTIONS = [
  ['devices', 'my_devices'],
  ['ledger_entries', 'export_ledger_entries'],
  ['reservations', 'export_reservations'],
  ['generations', 'export_generations'],
  ['usage_events', 'export_usage_events'],
  ['subscriptions', 'export_subscriptions'],
  ['subscription_grants', 'export_subscription_grants'],
  ['feature_events', 'export_feature_events'],
  ['settings', 'export_settings'],
  ['settings_versions', 'export_settings_versions'],
] as const;
type SectionFunction = (typeof SECTIONS)[number][1];

/** Reads a page of a list. */
export type ReadPage = (name: SectionFunction, page: Page) => Promise<Row[]>;

/** Reads a list page by page, in the order its function returns it. */
async function* readPages(readPage: ReadPage, name: SectionFunction): AsyncGenerator<Row[]> {
  for (let page: Page = { p_limit: FILE_PAGE_ROWS }; ; ) {
    const rows = await readPage(name, page);
    yield rows;
    const last = rows.at(-1);
    if (last === undefined || rows.length < FILE_PAGE_ROWS) return;
    page = { p_limit: FILE_PAGE_ROWS, p_after_at: last.occurred_at ?? last.created_at, p_after_id: last.id };
  }
}

/**
 * Yields the text of an export piece by piece: one JSON object, in which the long lists follow the given members. Pages
 * are read as the text is consumed, each by a call of its own.
 *
 * @param account the members short enough to be read beforehand
 * @throws {DatabaseError} in the middle of the text, when the database goes away or the session ends
 */
export async function* exportText(readPage: ReadPage, account: object): AsyncGenerator<string> {
  yield JSON.stringify(account).slice(0, -1);
  for (const [name, readFunction] of SECTIONS) {
    yield `,"${name}":[`;
    let separator = '';
    for await (const rows of readPages(readPage, readFunction)) {
      if (rows.length > 0) yield separator + JSON.stringify(rows).slice(1, -1);
      separator = ',';
    }
    yield ']';
  }
  yield '}\n';
}
