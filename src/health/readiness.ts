import { callDatabase, type DatabaseClient } from '../database/client.js';
import { expectedSchemaVersion } from '../database/migrations.js';

/** Whether the server can do its work. */
export interface Readiness {
  /**
   * Asks the database for its schema version.
   * @returns what stands in the way, or undefined
   */
  readonly problem: () => Promise<string | undefined>;
  /** From now on the server is not ready: it finishes what it has and stops. */
  readonly drain: () => void;
}

/** What to run where the database lacks migrations. */
export async function schemaProblem(database: DatabaseClient): Promise<string | undefined> {
  const expected = await expectedSchemaVersion();
  const found = await callDatabase(() => database.rpc('schema_version'));
  if (found >= expected) return undefined;
  return `The database is at version ${found}, this server needs ${expected}: run "npm run migrate" (or "supabase db push")`;
}

export function createReadiness(database: DatabaseClient): Readiness {
  let draining = false;
  return {
    problem: async () => (draining ? 'shutting down' : schemaProblem(database)),
    drain: () => {
      draining = true;
    },
  };
}
