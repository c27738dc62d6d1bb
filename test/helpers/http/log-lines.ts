import { Writable } from 'node:stream';
import { Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import type { FastifyInstance } from 'fastify';
import type { Test } from 'tap';
import { buildApp } from '../../../src/app.js';
import { parseConfig } from '../../../src/config/config.js';
import { openBackend } from '../../../src/platform/database/backend.js';
import { createLogger } from '../../../src/platform/logging.js';
import type { TestDatabase } from '../db/test-database.js';
import { PATIENCE, testEnvironment } from './test-server.js';

const WarningSchema = Type.Object({ level: Type.Literal(40), msg: Type.String() });

/** A place for a log that keeps its lines. */
export function keepLines() {
  const lines: string[] = [];
  const destination = new Writable({
    write: (chunk, _encoding, done) => {
      lines.push(String(chunk));
      done();
    },
  });
  return { lines, destination };
}

/** A logger that keeps what it is given. */
export function keepingLogger() {
  const { lines, destination } = keepLines();
  return { lines, logger: createLogger('trace', destination) };
}

/** Returns the warnings among log lines, as sentences. */
export function readWarnings(lines: readonly string[]): string[] {
  const parsed = lines.map((line): unknown => JSON.parse(line));
  return parsed.flatMap((line) => (Value.Check(WarningSchema, line) ? [line.msg] : []));
}

/**
 * Opens the application over a database with a log to read; it ends with the test.
 *
 * @param options.embedded whether it takes the database for one that came with the server
 */
export async function openLoggedServer(
  t: Test,
  database: TestDatabase,
  options: { readonly environment?: Record<string, string>; readonly embedded?: boolean } = {},
): Promise<{ readonly app: FastifyInstance; readonly lines: readonly string[] }> {
  const { lines, logger } = keepingLogger();
  const config = parseConfig(testEnvironment(database, options.environment));
  const backend = await openBackend(config, logger, undefined, PATIENCE);
  const app = await buildApp(config, { ...backend, embedded: options.embedded ?? backend.embedded }, logger);
  t.after(async () => {
    await app.close();
    await backend.close();
  });
  return { app, lines };
}
