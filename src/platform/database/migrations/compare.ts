import type { Migration } from './migration-files.js';

/** A migration the database has recorded. */
export interface AppliedMigration {
  readonly version: string;
  /** SHA-256 of the text that ran; empty where it was recorded without having run. */
  readonly sha256: string;
}

/** How the migrations of a database differ from the program's. */
export interface MigrationDifferences {
  /** Not applied yet, and later than all that are: what migrating applies. */
  readonly pending: readonly Migration[];
  /** Sentences about what migrating cannot mend. */
  readonly conflicts: readonly string[];
}

/** Migrations of the time before the first release, which the baseline has replaced. */
const BEFORE_RELEASE = /^20261122\d{6}$/;

const BEFORE_RELEASE_PROBLEM =
  'This database was made by a version before the first release, whose migrations are gone: start with a new database (with the embedded Postgres, another DATA_DIR)';

function findConflict(migration: Migration, applied: AppliedMigration): string | undefined {
  if (applied.sha256 === migration.sha256) return undefined;
  const name = `${migration.version}_${migration.name}`;
  return applied.sha256 === ''
    ? `Migration ${name} is recorded as applied, but never ran here: remove it from supabase_migrations.schema_migrations, then run "npm run migrate"`
    : `Migration ${name} ran with another text than this server has: use the server it came from, or restore a backup`;
}

/** Compares what a database has recorded with the program's migrations, as sets: order alone proves nothing. */
export function compareMigrations(
  migrations: readonly Migration[],
  applied: readonly AppliedMigration[],
): MigrationDifferences {
  if (applied.some(({ version }) => BEFORE_RELEASE.test(version))) {
    return { pending: [], conflicts: [BEFORE_RELEASE_PROBLEM] };
  }
  const known = new Map(migrations.map((migration) => [migration.version, migration]));
  const recorded = new Map(applied.map((migration) => [migration.version, migration]));
  const newest =
    applied
      .map(({ version }) => version)
      .sort()
      .at(-1) ?? '';
  const missing = migrations.filter(({ version }) => !recorded.has(version));
  const overtaken = missing.filter(({ version }) => version < newest);
  const unknown = applied.filter(({ version }) => !known.has(version));
  return {
    pending: missing.filter(({ version }) => version > newest),
    conflicts: [
      ...overtaken.map(
        ({ version, name }) =>
          `Migration ${version}_${name} is missing from the database, though the later ${newest} was applied: restore a backup, or apply it by hand`,
      ),
      ...unknown.map(
        ({ version }) =>
          `Migration ${version} was applied to the database, but this server does not know it: run the version of the server that brought it, or see "Rolling back" in docs/migrations.md`,
      ),
      ...migrations.flatMap((migration) => {
        const ran = recorded.get(migration.version);
        const conflict = ran && findConflict(migration, ran);
        return conflict === undefined ? [] : [conflict];
      }),
    ],
  };
}
