import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import { Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import type { FastifyInstance } from 'fastify';
import { buildApp } from '../../src/app.js';
import { parseConfig } from '../../src/config/config.js';
import { ensureFirstAdmin } from '../../src/features/admin/first-admin.js';
import { openBackend } from '../../src/platform/database/backend.js';
import { LONG_TIMEOUT_MS } from '../../src/platform/database/client/database.js';
import { migrate } from '../../src/platform/database/migrations/migrations.js';
import { createLogger } from '../../src/platform/logging.js';
import { openStripe, type StripeStandIn } from '../chaos/stripe.js';
import { withThrowawayCluster } from '../database/databases.js';
import { type Mailbox, openMailbox } from './mailbox.js';

/** A server in this process over a database that is thrown away. */
export interface FuzzStage {
  readonly app: FastifyInstance;
  readonly url: string;
  readonly adminPassword: string;
  readonly mailbox: Mailbox;
  readonly stripe: StripeStandIn;
  /** Proves the books; returns what is wrong. */
  readonly verifyLedger: () => Promise<readonly string[]>;
}

const ChecksSchema = Type.Array(
  Type.Object({ name: Type.String(), ok: Type.Boolean(), discrepancies: Type.Unknown() }),
);
const AskedSchema = Type.Object({ stream: Type.Literal(true) });

/** Starts an upstream of chat that says one word, in the OpenAI wire format. */
async function openUpstream() {
  const usage = { prompt_tokens: 5, completion_tokens: 1, total_tokens: 6 };
  const head = { id: 'gen-fuzz', provider: 'OpenAI', model: 'fuzz', created: 1_700_000_000 };
  const choice = (field: 'delta' | 'message') => ({ index: 0, [field]: { content: 'word' }, finish_reason: 'stop' });
  const line = (fields: object) =>
    `data: ${JSON.stringify({ ...head, object: 'chat.completion.chunk', ...fields })}\n\n`;
  const server = createServer(async (request, response) => {
    const body: unknown = JSON.parse((await text(request)) || '{}');
    if (!Value.Check(AskedSchema, body)) {
      const data = request.method === 'GET' ? [{ id: 'fuzz' }] : [];
      const whole = { ...head, object: 'chat.completion', choices: [choice('message')], usage, data };
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(whole));
      return;
    }
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.end(`${line({ choices: [choice('delta')] })}${line({ choices: [], usage })}data: [DONE]\n\n`);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the upstream has no port');
  return { server, url: `http://127.0.0.1:${address.port}/api/v1` };
}

/** Runs a body with a server of its own. */
export async function withFuzzStage<T>(body: (stage: FuzzStage) => Promise<T>): Promise<T> {
  const [upstream, mailbox, stripe] = [await openUpstream(), await openMailbox(), await openStripe()];
  try {
    return await withThrowawayCluster(async (adminUrl) => {
      await migrate(adminUrl);
      const adminPassword = randomBytes(16).toString('base64url');
      const config = parseConfig({
        DATABASE_URL: adminUrl,
        JWT_SECRET: randomBytes(32).toString('base64url'),
        ADMIN_PASSWORD: adminPassword,
        LOG_LEVEL: process.env['LOG_LEVEL'] ?? 'silent',
        RATE_LIMIT: 'off',
        // Requests are made up in the same process, which keeps it busy.
        MAX_EVENT_LOOP_DELAY: '0',
        SIGNUP: 'open',
        EMAIL_ONLY_SIGNUP: 'on',
        SMTP_URL: mailbox.url,
        FROM_EMAIL: 'fuzz@example.com',
        PUBLIC_URL: 'https://example.com',
        OPENROUTER_API_KEY: 'fuzz',
        OPENROUTER_BASE_URL: upstream.url,
        GITHUB_CLIENT_ID: 'fuzz',
        GITHUB_CLIENT_SECRET: 'fuzz',
        // Nobody listens there.
        GITHUB_BASE_URL: 'http://127.0.0.1:9',
        GITHUB_API_URL: 'http://127.0.0.1:9',
        OAUTH_REDIRECT_URIS: 'https://app.example.com/signed-in',
        ...stripe.environment,
      });
      const log = createLogger(config.http.logLevel);
      const backend = await openBackend(config, log);
      await ensureFirstAdmin(config, backend);
      const app = await buildApp(config, backend, log);
      try {
        const url = await app.listen({ host: '127.0.0.1', port: 0 });
        return await body({
          ...{ app, url, adminPassword, mailbox, stripe },
          verifyLedger: async () => {
            const checks = await backend.database.call('verify_ledger', { p_full: true }, ChecksSchema, {
              timeoutMs: LONG_TIMEOUT_MS,
            });
            return checks.flatMap(({ name, ok, discrepancies }) =>
              ok ? [] : [`${name}: ${JSON.stringify(discrepancies)}`],
            );
          },
        });
      } finally {
        await app.close();
        await backend.close();
      }
    });
  } finally {
    upstream.server.closeAllConnections();
    upstream.server.close();
    await Promise.all([mailbox.close(), stripe.close()]);
  }
}
