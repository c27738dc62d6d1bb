import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startProgram } from '../bench/server.js';
import { type BadNetwork, openProxy } from './bad-network.js';
import { openBalancer } from './balancer.js';
import { type Client, openClient } from './client.js';
import { type Journal, openJournal } from './journal.js';
import { type MailStandIn, openMail } from './mail.js';
import { openPooler, type Pooler } from './pooler.js';
import { openPostgres, type Postgres } from './postgres.js';
import type { Random } from './random.js';
import { openRedis, type RedisStandIn } from './redis.js';
import { type ChaosServer, createChaosServer } from './server.js';
import { openStripe, type StripeStandIn } from './stripe.js';

/** What a device has at first, and after each reset: little enough to run out. */
export const DEVICE_TOKENS = 300;

/** Servers on one Postgres, with a bad network on every side, and all that they ask. */
export interface Stage {
  readonly postgres: Postgres;
  readonly servers: readonly ChaosServer[];
  /** Between the servers, or their pooler, and Postgres. */
  readonly databaseProxy: BadNetwork;
  /** Between the clients and each server, or the proxy before all of them. */
  readonly clientProxies: readonly BadNetwork[];
  /** Between three servers and Postgres; two need none. */
  readonly pooler: Pooler | undefined;
  readonly stripe: StripeStandIn;
  readonly mail: MailStandIn;
  readonly redis: RedisStandIn;
  /** Says that the clocks of servers are too far apart for tokens and signatures, or are no more. */
  readonly setClocksApart: (apart: boolean) => void;
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

/** Describes two servers, of which one has workers, or three that are alike and keep their ports. */
function createServers(directory: string, environment: NodeJS.ProcessEnv, isMany: boolean): ChaosServer[] {
  if (isMany) return ['first', 'second', 'third'].map((name) => createChaosServer(name, directory, environment, true));
  return [
    createChaosServer('first', directory, environment),
    createChaosServer('second', directory, { ...environment, DATABASE_POOL_SIZE: '13', WORKERS: '2' }),
  ];
}

/**
 * Opens the stage; the servers are ready.
 * @param isMany whether there are three servers, behind nginx and over PgBouncer
 */
export async function openStage(random: Random, needsDisk: boolean, isMany: boolean): Promise<Stage> {
  const directory = await mkdtemp(join(tmpdir(), 'tokenledger-chaos-logs-'));
  const postgres = await openPostgres(needsDisk);
  const [stripe, upstream] = [await openStripe(), await startProgram('upstream.js')];
  const mail = await openMail(random.fork('mail'));
  const redis = await openRedis(directory);
  const databaseProxy = await openProxy(() => postgres.port);
  const databaseUrl = new URL(postgres.adminUrl);
  databaseUrl.port = String(databaseProxy.port);
  const pooler = isMany ? await openPooler(databaseUrl.href) : undefined;
  const adminPassword = randomBytes(16).toString('base64url');
  const environment = {
    DATABASE_URL: pooler?.url ?? databaseUrl.href,
    DATABASE_POOL_SIZE: '8',
    JWT_SECRET: randomBytes(32).toString('base64url'),
    ADMIN_PASSWORD: adminPassword,
    SIGNUP: 'open',
    EMAIL_ONLY_SIGNUP: 'on',
    DEFAULT_DEVICE_TOKENS: String(DEVICE_TOKENS),
    OPENROUTER_API_KEY: 'chaos',
    OPENROUTER_BASE_URL: `${upstream.url}/api/v1`,
    ...stripe.environment,
    ...mail.environment,
    ...redis.environment,
  };
  const servers = createServers(directory, environment, isMany);
  for (const server of servers) await server.start();
  const balancer = isMany ? await openBalancer(servers.map((server) => server.port())) : undefined;
  const entrances = balancer === undefined ? servers.map(({ port }) => port) : [() => balancer.port];
  const clientProxies = await Promise.all(entrances.map(openProxy));
  const urls = clientProxies.map(({ port }) => `http://127.0.0.1:${port}`);
  // A server is looked for where nothing is in between but a network.
  const toServer = (n: number) => (balancer === undefined ? urls[n] : `http://127.0.0.1:${servers[n]?.port()}`) ?? '';
  const journal = openJournal();
  let deadline = Number.POSITIVE_INFINITY;
  let apart = false;
  const client = openClient({ urls, toServer }, journal, random.fork('client'), {
    deadline: () => deadline,
    areClocksApart: () => apart,
  });
  return {
    ...{
      postgres,
      servers,
      databaseProxy,
      clientProxies,
      pooler,
      stripe,
      mail,
      redis,
      client,
      journal,
      adminPassword,
      directory,
    },
    setDeadline: (time) => {
      deadline = time;
    },
    setClocksApart: (next) => {
      apart = next;
    },
    close: async (keepsLogs) => {
      await client.close();
      await Promise.all(servers.map((server) => server.end('SIGKILL')));
      await Promise.all([databaseProxy, ...clientProxies].map((proxy) => proxy.close()));
      await Promise.all([balancer?.close(), pooler?.close()]);
      await Promise.all([stripe.close(), mail.close(), redis.kill(), postgres.close()]);
      upstream.process.disconnect();
      if (!keepsLogs) await rm(directory, { recursive: true, force: true });
    },
  };
}
