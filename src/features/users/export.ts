import { type Static, Type } from '@sinclair/typebox';
import type { UserIdentity } from '../../auth/guards/user-identity.js';
import type { DatabaseClient } from '../../platform/database/client/client.js';
import { shapeOf } from '../../platform/database/client/shape.js';
import type { UserDatabase } from '../../platform/database/client/user-database.js';

/** Rows a page holds: what is in memory at once. */
const PAGE_ROWS = 5_000;

/** What tells where in its list a row stands; all else is passed on as it is. */
const RowSchema = Type.Object({
  id: Type.String(),
  created_at: Type.String(),
  occurred_at: Type.Optional(Type.String()),
});
type Row = Static<typeof RowSchema>;
const rowsOf = shapeOf(Type.Array(RowSchema));

interface Page {
  readonly p_limit: number;
  readonly p_after_at?: string;
  readonly p_after_id?: string;
}
type ReadPage = (database: DatabaseClient, page: Page) => ReturnType<Parameters<UserDatabase['call']>[1]>;

/** What may be long, and is read in pages: a name in the file, and the function that answers a page of it. */
const SECTIONS: readonly (readonly [name: string, read: ReadPage])[] = [
  ['devices', (database, page) => database.rpc('my_devices', page)],
  ['ledger_entries', (database, page) => database.rpc('export_ledger_entries', page)],
  ['reservations', (database, page) => database.rpc('export_reservations', page)],
  ['generations', (database, page) => database.rpc('export_generations', page)],
  ['usage_events', (database, page) => database.rpc('export_usage_events', page)],
  ['subscriptions', (database, page) => database.rpc('export_subscriptions', page)],
  ['subscription_grants', (database, page) => database.rpc('export_subscription_grants', page)],
  ['feature_events', (database, page) => database.rpc('export_feature_events', page)],
  ['settings', (database, page) => database.rpc('export_settings', page)],
  ['settings_versions', (database, page) => database.rpc('export_settings_versions', page)],
];

async function* pagesOf(userDatabase: UserDatabase, caller: UserIdentity, read: ReadPage): AsyncGenerator<Row[]> {
  for (let page: Page = { p_limit: PAGE_ROWS }; ; ) {
    const rows = rowsOf(await userDatabase.call(caller, (database) => read(database, page)));
    yield rows;
    const last = rows.at(-1);
    if (last === undefined || rows.length < PAGE_ROWS) return;
    page = { p_limit: PAGE_ROWS, p_after_at: last.occurred_at ?? last.created_at, p_after_id: last.id };
  }
}

/**
 * The text of an export, piece by piece: one JSON object, in which lists follow the given members. Pages are read as the
 * text is taken, each by a call of its own.
 *
 * @param account the members that are short
 * @throws {DatabaseFailure} in the middle of it, when the database goes away or the session ends
 */
export async function* exportText(
  userDatabase: UserDatabase,
  caller: UserIdentity,
  account: object,
): AsyncGenerator<string> {
  yield JSON.stringify(account).slice(0, -1);
  for (const [name, read] of SECTIONS) {
    yield `,"${name}":[`;
    let separator = '';
    for await (const rows of pagesOf(userDatabase, caller, read)) {
      if (rows.length > 0) yield separator + JSON.stringify(rows).slice(1, -1);
      separator = ',';
    }
    yield ']';
  }
  yield '}\n';
}
