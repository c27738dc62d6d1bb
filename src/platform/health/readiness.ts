import { Type } from '@sinclair/typebox';
import type { Database } from '../database/client/database.js';
import { DatabaseError } from '../database/client/database-error.js';
import { expectedSchemaVersion } from '../database/migrations/migrations.js';

/** Whether the server can do its work. */
export interface Readiness {
  /**
   * Asks the database for its schema version.
   * @returns what stands in the way, or undefined
   */
  readonly problem: () => Promise<string | undefined>;
  /** From now on the server is not ready: it finishes what it has and stops. */
  readonly drain: () => void;
  readonly isDraining: () => boolean;
  /** Has something done when the server begins to drain. */
  readonly onDrain: (listener: () => void) => void;
}

const VersionSchema = Type.String();
const UPDATE = 'run "npm run migrate" (or "supabase db push")';
/** The Data API's code for a function that does not exist. */
const UNKNOWN_FUNCTION = 'PGRST202';

/** What to run where the database lacks migrations. */
export async function schemaProblem(database: Database): Promise<string | undefined> {
  const expected = await expectedSchemaVersion();
  try {
    const found = await database.call('schema_version', {}, VersionSchema);
    if (found >= expected) return undefined;
    return `The database is at version ${found}, this server needs ${expected}: ${UPDATE}`;
  } catch (error) {
    if (!(error instanceof DatabaseError) || error.code !== UNKNOWN_FUNCTION) throw error;
    return `The database has none of this server's tables and functions: ${UPDATE}`;
  }
}

export function createReadiness(database: Database): Readiness {
  let draining = false;
  const listeners: (() => void)[] = [];
  return {
    problem: async () => (draining ? 'shutting down' : schemaProblem(database)),
    isDraining: () => draining,
    drain: () => {
      draining = true;
      for (const listener of listeners) listener();
    },
    onDrain: (listener) => {
      listeners.push(listener);
    },
  };
}
