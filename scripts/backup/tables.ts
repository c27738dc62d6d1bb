import type pg from 'pg';
import type { AppliedMigration } from '../../src/platform/database/migrations/compare.js';
import { readMigrations } from '../../src/platform/database/migrations/migration-files.js';
import { readApplied } from '../../src/platform/database/migrations/migrations.js';

/** A table as it is copied. */
export interface TableColumns {
  /** Name with its schema, quoted where SQL needs it. */
  readonly name: string;
  /** Columns in order without generated ones, quoted where SQL needs it. */
  readonly columns: readonly string[];
}

/** Where a sequence stands. */
export interface SequenceState {
  readonly name: string;
  readonly value: string;
  readonly called: boolean;
}

/** What a database holds, apart from its rows. */
export interface Contents {
  readonly postgres: string;
  readonly migrations: readonly AppliedMigration[];
  /** Referenced tables before those that refer to them. */
  readonly tables: readonly TableColumns[];
  readonly sequences: readonly SequenceState[];
  /** Months that usage events have a partition for, as their first day. */
  readonly months: readonly string[];
}

/** Makes a session write and read values in one way everywhere, wait for nobody for ever, and see every row or fail. */
export const SESSION_SETTINGS = `
  set search_path = '';
  set datestyle = 'ISO, MDY';
  set intervalstyle = 'postgres';
  set timezone = 'UTC';
  set bytea_output = 'hex';
  set extra_float_digits = 1;
  set client_encoding = 'UTF8';
  set row_security = off;
  set statement_timeout = 0;
  set idle_in_transaction_session_timeout = 0;
  set lock_timeout = '60s'`;

const CREATED_TABLE = /^create table (?:if not exists )?((?:public|private)\.[a-z_]+)/gm;
/** Written by the migrations themselves. */
const RECORD = 'private.migration_checksums';

/** Lists the tables that our migrations made: a project's `public` may hold other people's. */
async function listOwnTables(): Promise<string[]> {
  const migrations = await readMigrations();
  const names = migrations.flatMap(({ sql }) => [...sql.matchAll(CREATED_TABLE)].map(([, name = '']) => name));
  return [...new Set(names)].filter((name) => name !== RECORD);
}

interface FoundTable extends TableColumns {
  readonly after: readonly string[];
}

const TABLES = `
  select c.oid::regclass::text as name,
         array(
           select quote_ident(a.attname) from pg_attribute a
            where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = '' order by a.attnum
         ) as columns,
         array(
           select distinct f.confrelid::regclass::text from pg_constraint f
            where f.conrelid = c.oid and f.contype = 'f' and f.confrelid <> c.oid
         ) as after
    from pg_class c
   where c.oid in (select to_regclass(name) from unnest($1::text[]) as name) and c.relkind in ('r', 'p')
   order by 1`;

/** Puts referenced tables before those that refer to them. */
function orderByReference(tables: readonly FoundTable[]): TableColumns[] {
  const ordered: FoundTable[] = [];
  for (let rest = [...tables]; rest.length > 0; ) {
    const ready = rest.filter(({ after }) => after.every((name) => rest.every((other) => other.name !== name)));
    const next = ready.length > 0 ? ready : rest;
    ordered.push(...next);
    rest = rest.filter((table) => !next.includes(table));
  }
  return ordered.map(({ name, columns }) => ({ name, columns }));
}

/** Lists the tables of this program a database has, as they are copied. */
export async function listTables(client: pg.Client): Promise<TableColumns[]> {
  const { rows } = await client.query<FoundTable>(TABLES, [await listOwnTables()]);
  return orderByReference(rows);
}

const SEQUENCES = `
  select format('%I.%I', schemaname, sequencename) as name, coalesce(last_value, start_value)::text as value,
         last_value is not null as called
    from pg_sequences s
   where exists (
     select from pg_depend d
      where d.objid = to_regclass(format('%I.%I', s.schemaname, s.sequencename)) and d.deptype in ('a', 'i')
        and d.refobjid in (select to_regclass(name) from unnest($1::text[]) as name)
   )
   order by 1`;

const MONTHS = `
  select to_date(right(c.relname, 7), 'YYYY_MM')::text as month
    from pg_inherits i join pg_class c on c.oid = i.inhrelid
   where i.inhparent = to_regclass('public.usage_events') order by 1`;

/**
 * Begins a transaction that sees the database as it is now and goes on seeing it like that, whatever others write, and
 * describes what is there. The tables cannot be changed or dropped until it ends; rows can.
 */
export async function beginSnapshot(client: pg.Client): Promise<Contents> {
  const tables = await listTables(client);
  await client.query('begin isolation level repeatable read read only');
  const names = tables.map(({ name }) => name);
  // Before the first look, so that no month is dropped between it and its copy.
  if (names.length > 0) await client.query(`lock table ${names.join(', ')} in access share mode`);
  const { rows: versions } = await client.query<{ server_version: string }>('show server_version');
  const migrations = await readApplied(client);
  const { rows: months } = await client.query<{ month: string }>(MONTHS);
  // After the look: a sequence is never behind the rows that are seen.
  const { rows: sequences } = await client.query<SequenceState>(SEQUENCES, [names]);
  const postgres = versions[0]?.server_version ?? '';
  return { postgres, migrations, tables, sequences, months: months.map(({ month }) => month) };
}

/** Counts a table's rows and adds up their hashes, in whatever order they are stored. */
export async function digestTable(client: pg.Client, { name, columns }: TableColumns): Promise<string> {
  const { rows } = await client.query<{ digest: string }>(
    `select count(*) || ' rows ' || coalesce(sum(('x' || left(md5(row(${columns.join(', ')})::text), 16))::bit(64)::bigint), 0) as digest
       from ${name}`,
  );
  return rows[0]?.digest ?? '';
}

/** What a check of the books found. */
export interface LedgerCheck {
  readonly name: string;
  readonly ok: boolean;
  readonly discrepancies: unknown;
}

/** Proves the books as the session sees them, trusting no seal. */
export async function proveBooks(client: pg.Client): Promise<LedgerCheck[]> {
  const { rows: found } = await client.query<{ takes: boolean }>(
    `select to_regprocedure('public.verify_ledger(boolean)') is not null as takes`,
  );
  const call = found[0]?.takes === true ? 'public.verify_ledger(true)' : 'public.verify_ledger()';
  return (await client.query<LedgerCheck>(`select name, ok, discrepancies from ${call}`)).rows;
}

/** Writes what the books do not add up to, one line each; empty where they do. */
export function describeDiscrepancies(checks: readonly LedgerCheck[]): string {
  return checks
    .filter(({ ok }) => !ok)
    .map(({ name, discrepancies }) => `${name}: ${JSON.stringify(discrepancies)}`)
    .join('\n');
}
