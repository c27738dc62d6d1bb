import { randomBytes, randomUUID } from 'node:crypto';
import { Type } from '@sinclair/typebox';
import type { FastifyInstance, InjectOptions, LightMyRequestResponse } from 'fastify';
import type { DestinationStream } from 'pino';
import type { Test } from 'tap';
import { buildApp } from '../../../src/app.js';
import { parseConfig } from '../../../src/config/config.js';
import { type Backend, openBackend, type Patience } from '../../../src/platform/database/backend.js';
import { openReads } from '../../../src/platform/database/replica/open-reads.js';
import { createLogger } from '../../../src/platform/logging.js';
import { openTestDatabase, type TestDatabase } from '../db/test-database.js';

/** What `verify_ledger()` returns. */
export const LedgerChecksSchema = Type.Array(
  Type.Object({ name: Type.String(), ok: Type.Boolean(), discrepancies: Type.Unknown() }),
);

/** A registered device. */
export interface TestDevice {
  readonly id: string;
  readonly token: string;
}

/** The application over a database of its own. */
export interface TestServer {
  readonly app: FastifyInstance;
  readonly backend: Backend;
  readonly database: TestDatabase;
  /** Starts listening on a free loopback port. */
  readonly listen: () => Promise<string>;
  /** Registers a device with a fingerprint of its own; `tokens` sets its balance. */
  readonly registerDevice: (tokens?: number) => Promise<TestDevice>;
  /** Sends JSON as a device. */
  readonly as: (
    device: TestDevice,
    method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE',
    url: string,
    payload?: InjectOptions['payload'],
    headers?: InjectOptions['headers'],
  ) => Promise<LightMyRequestResponse>;
  /** Asserts that the books add up. */
  readonly verifyLedger: (t: Test) => Promise<void>;
}

/** Calls wait on a busy machine; those who are told to come back would fail a test that is about something else. */
export const PATIENCE: Patience = {
  connectionMs: 60_000,
  statementMs: 60_000,
  silenceMs: 30_000,
  batchMs: 60_000,
};

const NOWHERE: DestinationStream = { write: () => {} };

/** Environment of a server over a database, quiet and without rate limits. */
export function testEnvironment(
  database: TestDatabase,
  overrides: Record<string, string> = {},
): Record<string, string> {
  return {
    DATABASE_URL: database.serverUrl,
    JWT_SECRET: randomBytes(32).toString('base64url'),
    LOG_LEVEL: 'silent',
    RATE_LIMIT: 'off',
    // Tests share few cores and block their own process.
    MAX_EVENT_LOOP_DELAY: '0',
    // Many calls of every kind meet at a lock.
    DATABASE_POOL_SIZE: '20',
    // With chat or payments on, most tests are about people who have their tokens.
    SIGNUP: 'open',
    ...overrides,
  };
}

/** Opens the application over a throwaway database, or over one given, and logs to where it is told; it ends with the test. */
export async function openTestServer(
  t: Test,
  options: { environment?: Record<string, string>; database?: TestDatabase; log?: DestinationStream } = {},
): Promise<TestServer> {
  const database = options.database ?? (await openTestDatabase(t));
  const config = parseConfig(testEnvironment(database, options.environment));
  // Standard output is looked after ten times a second for each logger, for as long as the process lives.
  const log = options.log ?? (config.http.logLevel === 'silent' ? NOWHERE : undefined);
  const logger = createLogger(config.http.logLevel, log);
  const backend = await openBackend(config, logger, undefined, PATIENCE);
  const reads = await openReads(config, backend, logger);
  const app = await buildApp(config, backend, logger, { reads });
  // tap runs the latest hook first: the server lets go of the database before the database ends.
  t.after(async () => {
    await app.close();
    await reads.close();
    await backend.close();
  });

  const registerDevice = async (tokens?: number): Promise<TestDevice> => {
    const payload = { device_name: 'Test', hardware_fingerprint: randomUUID() };
    const response = await app.inject({ method: 'POST', url: '/api/devices/register', payload });
    if (response.statusCode >= 300) throw new Error(`registering answered ${response.statusCode}: ${response.payload}`);
    const { device_id: id, device_token: token } = response.json<{ device_id: string; device_token: string }>();
    if (tokens !== undefined) await setBalance(database, id, tokens);
    return { id, token };
  };

  return {
    app,
    backend,
    database,
    listen: () => app.listen({ host: '127.0.0.1', port: 0 }),
    registerDevice,
    as: (device, method, url, payload, headers) =>
      app.inject({
        method,
        url,
        headers: { authorization: `Bearer ${device.token}`, ...headers },
        ...(payload !== undefined && { payload }),
      }),
    verifyLedger: async (test) => {
      const checks = await backend.database.call('verify_ledger', {}, LedgerChecksSchema);
      test.strictSame(
        checks.filter(({ ok }) => !ok),
        [],
        'the ledger verifies',
      );
      test.equal(checks.length, 14, 'every check ran');
    },
  };
}

/** Gives a device or an account exactly this many tokens, through the ledger. */
export async function setBalance(database: TestDatabase, subject: string, tokens: number): Promise<void> {
  await database.sql(
    `with change as (
       select subject_id, subject_kind, $2 - allocated as amount, period from balances where subject_id = $1
     ), entry as (
       insert into ledger_entries (subject_id, kind, amount, period, actor)
       select subject_id, 'adjustment', amount, period, 'test' from change where amount <> 0
     ), pool as (
       update budgets b set allocated = b.allocated + c.amount from change c where b.subject_kind = c.subject_kind
     )
     update balances set allocated = $2 where subject_id = $1`,
    [subject, tokens],
  );
}
