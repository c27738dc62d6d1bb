import { type ChildProcess, fork, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { PROJECT_ROOT } from '../../src/platform/project-root.js';
import type { CountedProcesses } from './measure/processor-time.js';

/** A server with an embedded database of its own, and the upstream it asks. */
export interface BenchServer {
  readonly url: string;
  readonly upstreamUrl: string;
  /** Connection string of the superuser of its database. */
  readonly adminUrl: string;
  /** The secret it signs client tokens with. */
  readonly jwtSecret: string;
  readonly adminPassword: string;
  readonly processes: CountedProcesses;
  /** Where its log and data are. */
  readonly directory: string;
  readonly close: () => Promise<void>;
}

const AddressSchema = Type.Object({ port: Type.Integer() });
const SecretsSchema = Type.Object({ postgres_password: Type.String() });

/** What is taken from the environment of the command, to compare a server with itself. */
const PASSED_ON = ['PATH', 'TMPDIR', 'WORKERS', 'DATABASE_POOL_SIZE', 'MAX_EVENT_LOOP_DELAY', 'NODE_OPTIONS'];

/** Starts one of our programs with a channel to it; it ends when the channel does. */
export async function startProgram(
  name: string,
  environment: NodeJS.ProcessEnv = {},
): Promise<{ url: string; process: ChildProcess }> {
  const child = fork(join(PROJECT_ROOT, 'dist/scripts/bench', name), { env: { ...process.env, ...environment } });
  const [address]: unknown[] = await once(child, 'message');
  const { port } = Value.Decode(AddressSchema, address);
  return { url: `http://127.0.0.1:${port}`, process: child };
}

/** Returns a loopback port nobody listens on right now. */
async function findFreePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = Value.Decode(AddressSchema, probe.address());
  probe.close();
  await once(probe, 'close');
  return port;
}

/** Reads what the embedded Postgres of a server wrote about itself. */
export async function findPostgres(directory: string): Promise<{ pid: number; adminUrl: string }> {
  const data = join(directory, 'data');
  const [pid, , , port] = (await readFile(join(data, 'postgres/postmaster.pid'), 'utf8')).split('\n');
  const secrets = Value.Decode(SecretsSchema, JSON.parse(await readFile(join(data, 'secrets.json'), 'utf8')));
  return { pid: Number(pid), adminUrl: `postgres://postgres:${secrets.postgres_password}@127.0.0.1:${port}/postgres` };
}

/** A server's process, which is ready. */
export interface StartedServer {
  readonly url: string;
  readonly pid: number;
  /** Milliseconds from its start until it was ready. */
  readonly startMs: number;
  readonly stop: () => Promise<void>;
}

/**
 * Starts a server as `npm start` does once it is built, and waits until it is ready. Its log goes to nowhere, but it
 * writes it, as a server in use does.
 *
 * @param directory where its data is, and stays
 */
export async function startServer(directory: string, environment: NodeJS.ProcessEnv = {}): Promise<StartedServer> {
  const passedOn = PASSED_ON.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]]));
  const port = await findFreePort();
  const nowhere = await open('/dev/null', 'w').catch(() => undefined);
  const start = performance.now();
  const server = spawn(process.execPath, [join(PROJECT_ROOT, 'dist/src/server.js')], {
    cwd: directory,
    env: {
      ...Object.fromEntries(passedOn),
      PORT: String(port),
      RATE_LIMIT: 'off',
      // A benchmark is more than a server would take on by itself.
      MAX_EVENT_LOOP_DELAY: '0',
      // As npm would have it: where the benchmark is killed, the server stops, and its Postgres with it.
      npm_lifecycle_event: 'bench',
      ...environment,
    },
    stdio: ['ignore', nowhere?.fd ?? 'ignore', 'inherit', 'ipc'],
  });
  const ended = once(server, 'exit');
  // It says so to PM2, too.
  await Promise.race([
    once(server, 'message'),
    ended.then(([code]) => Promise.reject(new Error(`the server did not start (exit code ${String(code)})`))),
  ]);
  const startMs = performance.now() - start;
  await nowhere?.close();
  return {
    url: `http://127.0.0.1:${port}`,
    pid: server.pid ?? 0,
    startMs,
    stop: async () => {
      server.kill('SIGTERM');
      await ended;
    },
  };
}

/** Starts a server and a model provider in processes of their own, over a database in a temporary folder. */
export async function startBenchServer(): Promise<BenchServer> {
  const upstream = await startProgram('upstream.js');
  const directory = await mkdtemp(join(tmpdir(), 'tokenledger-bench-'));
  const [jwtSecret, adminPassword] = [randomBytes(32).toString('base64url'), randomBytes(16).toString('base64url')];
  const server = await startServer(directory, {
    JWT_SECRET: jwtSecret,
    ADMIN_PASSWORD: adminPassword,
    SIGNUP: 'open',
    EMAIL_ONLY_SIGNUP: 'on',
    DEFAULT_DEVICE_TOKENS: '1000000000000',
    DEFAULT_USER_TOKENS: '1000000000000',
    TRACKER_DAY_PROMPTS: '1000000000',
    TRACKER_DAY_TOKENS: '1000000000',
    OPENROUTER_API_KEY: 'bench',
    OPENROUTER_BASE_URL: `${upstream.url}/api/v1`,
  });
  const { pid, adminUrl } = await findPostgres(directory);
  return {
    url: server.url,
    upstreamUrl: `${upstream.url}/api/v1`,
    adminUrl,
    jwtSecret,
    adminPassword,
    processes: { node: server.pid, postgres: pid },
    directory,
    close: async () => {
      await server.stop();
      upstream.process.disconnect();
      await rm(directory, { recursive: true, force: true });
    },
  };
}
