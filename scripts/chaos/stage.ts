import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startProgram } from '../bench/server.js';
import { type BadNetwork, openProxy } from './bad-network.js';
import { type Client, openClient } from './client.js';
import { type Journal, openJournal } from './journal.js';
import { type MailStandIn, openMail } from './mail.js';
import { openPostgres, type Postgres } from './postgres.js';
import type { Random } from './random.js';
import { type ChaosServer, createChaosServer } from './server.js';
import { openStripe, type StripeStandIn } from './stripe.js';

/** What a device has at first, and after each reset: little enough to run out. */
export const DEVICE_TOKENS = 300;

/** Two servers on one Postgres, with a bad network on every side, and all that they ask. */
export interface Stage {
  readonly postgres: Postgres;
  readonly servers: readonly ChaosServer[];
  /** Between the servers and Postgres. */
  readonly databaseProxy: BadNetwork;
  /** Between the clients and each server. */
  readonly clientProxies: readonly BadNetwork[];
  readonly stripe: StripeStandIn;
  readonly mail: MailStandIn;
  readonly client: Client;
  readonly journal: Journal;
  readonly adminPassword: string;
  /** Where the servers' logs are. */
  readonly directory: string;
  /** Sets when clients stop asking again (`Date.now()`). */
  readonly setDeadline: (time: number) => void;
  /** @param keepsLogs whether the logs stay, to be looked at */
  readonly close: (keepsLogs: boolean) => Promise<void>;
}

/** Opens the stage; the servers are ready. */
export async function openStage(random: Random, needsDisk: boolean): Promise<Stage> {
  const directory = await mkdtemp(join(tmpdir(), 'tokenledger-chaos-logs-'));
  const postgres = await openPostgres(needsDisk);
  const [stripe, upstream] = [await openStripe(), await startProgram('upstream.js')];
  const mail = await openMail(random.fork('mail'));
  const databaseProxy = await openProxy(() => postgres.port);
  const databaseUrl = new URL(postgres.adminUrl);
  databaseUrl.port = String(databaseProxy.port);
  const adminPassword = randomBytes(16).toString('base64url');
  const environment = {
    DATABASE_URL: databaseUrl.href,
    DATABASE_POOL_SIZE: '8',
    JWT_SECRET: randomBytes(32).toString('base64url'),
    ADMIN_PASSWORD: adminPassword,
    RATE_LIMIT: 'off',
    SIGNUP: 'open',
    EMAIL_ONLY_SIGNUP: 'on',
    DEFAULT_DEVICE_TOKENS: String(DEVICE_TOKENS),
    OPENROUTER_API_KEY: 'chaos',
    OPENROUTER_BASE_URL: `${upstream.url}/api/v1`,
    ...stripe.environment,
    ...mail.environment,
  };
  const servers = ['first', 'second'].map((name) => createChaosServer(name, directory, environment));
  for (const server of servers) await server.start();
  const clientProxies = await Promise.all(servers.map((server) => openProxy(server.port)));
  const urls = clientProxies.map(({ port }) => `http://127.0.0.1:${port}`);
  const journal = openJournal();
  let deadline = Number.POSITIVE_INFINITY;
  const client = openClient(urls, journal, random.fork('client'), () => deadline);
  return {
    ...{ postgres, servers, databaseProxy, clientProxies, stripe, mail, client, journal, adminPassword, directory },
    setDeadline: (time) => {
      deadline = time;
    },
    close: async (keepsLogs) => {
      await client.close();
      await Promise.all(servers.map((server) => server.end('SIGKILL')));
      await Promise.all([databaseProxy, ...clientProxies].map((proxy) => proxy.close()));
      await Promise.all([stripe.close(), mail.close(), postgres.close()]);
      upstream.process.disconnect();
      if (!keepsLogs) await rm(directory, { recursive: true, force: true });
    },
  };
}
