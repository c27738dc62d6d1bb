import { buildApp } from '../../../src/app.js';
import { parseConfig } from '../../../src/config/config.js';
import { openBackend } from '../../../src/platform/database/backend.js';
import { type CallerDatabase, toClaims } from '../../../src/platform/database/client/caller-database.js';
import type { Database } from '../../../src/platform/database/client/database.js';
import { createLogger } from '../../../src/platform/logging.js';
import type { LoadRequest } from '../measure/http-load.js';
import type { BenchServer } from '../server.js';

/** A call of a SQL function, as a request makes it. */
export interface RecordedCall {
  readonly name: string;
  readonly args: Readonly<Record<string, unknown>>;
  /** In whose name, where row-level security decides what is seen. */
  readonly claims?: Readonly<Record<string, string>>;
}

/**
 * Makes each request once, with the application in this process and the server's database, and returns the last call of a
 * SQL function it led to: what is called directly is thus always what the server calls.
 */
export async function recordCalls(server: BenchServer, requests: readonly LoadRequest[]): Promise<RecordedCall[]> {
  const config = parseConfig({
    DATABASE_URL: server.adminUrl,
    JWT_SECRET: server.jwtSecret,
    LOG_LEVEL: 'silent',
    RATE_LIMIT: 'off',
    MAX_EVENT_LOOP_DELAY: '0',
  });
  const log = createLogger(config.http.logLevel);
  const backend = await openBackend(config, log);
  const calls: RecordedCall[] = [];
  const database: Database = {
    ...backend.database,
    call: (name, args, schema, options) => {
      calls.push({ name, args });
      return backend.database.call(name, args, schema, options);
    },
  };
  const callerDatabase: CallerDatabase = {
    call: (caller, name, args, schema) => {
      calls.push({ name, args, claims: toClaims(caller) });
      return backend.callerDatabase.call(caller, name, args, schema);
    },
  };
  const app = await buildApp(config, { ...backend, database, callerDatabase }, log);
  try {
    const recorded: RecordedCall[] = [];
    for (const { method, path, headers, body } of requests) {
      calls.length = 0;
      const answer = await app.inject({
        method,
        url: path,
        ...(headers && { headers: { ...headers } }),
        ...(body !== undefined && { payload: body }),
      });
      const call = calls.at(-1);
      if (answer.statusCode >= 300 || call === undefined)
        throw new Error(`${path}: ${answer.statusCode} ${answer.body}`);
      recorded.push(call);
    }
    return recorded;
  } finally {
    await app.close();
    await backend.close();
  }
}
