import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import type { Test } from 'tap';
import { isRunning } from '../../../src/platform/database/embedded/postmaster.js';
import { PROJECT_ROOT } from '../../../src/platform/project-root.js';
import { copyTemplate } from '../db/template.js';
import { until } from '../until.js';

const ENTRY = join(PROJECT_ROOT, 'dist/src/server.js');

/** A working directory of a test's own; a server started in it keeps its data below, as by default. */
export interface ServerDirectory {
  readonly path: string;
  readonly dataDir: string;
  /** The process id of the embedded Postgres, or undefined where none runs. */
  readonly postgresPid: () => Promise<number | undefined>;
  /** Connects to the embedded Postgres as the superuser; the connection ends with the test. */
  readonly connect: () => Promise<pg.Client>;
  /** Runs one statement in the embedded Postgres as the superuser. */
  readonly sql: <Row extends pg.QueryResultRow>(text: string, values?: unknown[]) => Promise<Row[]>;
  /** The log of the embedded Postgres. */
  readonly postgresLog: () => Promise<string>;
}

async function superuserUrl(dataDir: string): Promise<string> {
  const secrets: { postgres_password: string } = JSON.parse(await readFile(join(dataDir, 'secrets.json'), 'utf8'));
  const pidFile = await readFile(join(dataDir, 'postgres/postmaster.pid'), 'utf8');
  return `postgres://postgres:${secrets.postgres_password}@127.0.0.1:${pidFile.split('\n')[3]}/postgres`;
}

/** Makes an empty working directory; with the test, a Postgres left in it ends and the directory goes. */
export async function openDirectory(t: Test): Promise<ServerDirectory> {
  const path = await mkdtemp(join(tmpdir(), 'tokenledger-server-'));
  const dataDir = join(path, 'data');
  const cluster = join(dataDir, 'postgres');
  const postgresPid = async () => {
    if (!(await isRunning(cluster))) return undefined;
    return Number((await readFile(join(cluster, 'postmaster.pid'), 'utf8')).split('\n')[0]);
  };
  const connect = async () => {
    // Tests put databases into states that no function makes.
    const options = '-c tokenledger.by_hand=test';
    const client = new pg.Client({ connectionString: await superuserUrl(dataDir), options });
    client.on('error', () => {});
    await client.connect();
    return client;
  };
  t.after(async () => {
    const pid = await postgresPid();
    if (pid !== undefined) {
      process.kill(pid, 'SIGQUIT');
      await until('Postgres has ended', async () => ((await isRunning(cluster)) ? undefined : true));
    }
    await rm(path, { recursive: true, force: true, maxRetries: 10 });
  });
  return {
    path,
    dataDir,
    postgresPid,
    connect: async () => {
      const client = await connect();
      t.after(() => client.end().catch(() => {}));
      return client;
    },
    sql: async (text, values) => {
      const client = await connect();
      try {
        return (await client.query(text, values)).rows;
      } finally {
        await client.end();
      }
    },
    postgresLog: () => readFile(join(cluster, 'server.log'), 'utf8'),
  };
}

/**
 * Makes a working directory with a migrated database nobody has used: what making one takes, most tests need not wait for.
 * The first server that starts there finds no admin, as in an empty directory.
 */
export async function openReadyDirectory(t: Test): Promise<ServerDirectory> {
  const directory = await openDirectory(t);
  await mkdir(directory.dataDir, { mode: 0o700 });
  const password = await copyTemplate(join(directory.dataDir, 'postgres'));
  const secrets = {
    jwt_secret: randomBytes(32).toString('base64url'),
    postgres_password: password,
    authenticator_password: password,
  };
  await writeFile(join(directory.dataDir, 'secrets.json'), JSON.stringify(secrets), { mode: 0o600 });
  return directory;
}

/** How a process ended. */
export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A server in a process of its own, as an operator runs it. */
export interface ServerProcess {
  readonly stdout: () => string;
  readonly stderr: () => string;
  readonly signal: (name: NodeJS.Signals) => void;
  /** Resolves once the process, and whatever shares its output, has ended. */
  readonly ended: Promise<Exit>;
  /** The address it listens on, once it says so; fails where it ends instead. */
  readonly ready: () => Promise<string>;
}

/**
 * Starts the built server with a clean environment: on a free loopback port, quiet and without rate limits.
 * It ends with the test.
 *
 * @param options.cwd where it runs; `.env` and `./data` are looked for there
 * @param options.command starts something else instead, given node and the server as its last arguments
 */
export function startServer(
  t: Test,
  options: {
    readonly cwd: string;
    readonly environment?: Record<string, string>;
    readonly command?: readonly string[];
  },
): ServerProcess {
  const [file = process.execPath, ...args] = [...(options.command ?? []), process.execPath, ENTRY];
  const child = spawn(file, args, {
    cwd: options.cwd,
    env: {
      PATH: process.env['PATH'],
      TMPDIR: process.env['TMPDIR'],
      PORT: '0',
      LOG_LEVEL: 'silent',
      RATE_LIMIT: 'off',
      // A machine that runs many tests at once is late with everything.
      MAX_EVENT_LOOP_DELAY: '0',
      // As npm would have it: where the test itself is killed, the server stops, and its Postgres with it.
      npm_lifecycle_event: 'test',
      ...options.environment,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
    // A group of its own, so that what a command starts can be ended with it.
    detached: true,
  });
  let stdout = '';
  let stderr = '';
  let exit: Exit | undefined;
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const ended = new Promise<Exit>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      exit = { code, signal };
      resolve(exit);
    });
  });
  t.after(async () => {
    if (exit === undefined && child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    await ended;
  });
  return {
    stdout: () => stdout,
    stderr: () => stderr,
    signal: (name) => child.kill(name),
    ended,
    ready: () =>
      until('the server is ready', () => {
        if (exit !== undefined) throw new Error(`the server ended with ${exit.code ?? exit.signal}: ${stderr}`);
        return /ready at (\S+)\n[\s\S]*\n {2}curl .*\n\n/.exec(stdout)?.[1];
      }),
  };
}

/** Asserts that a process refused to start: one line that says why, an exit code, nothing else. */
export async function assertRefused(t: Test, server: ServerProcess, reason: RegExp): Promise<void> {
  const { code } = await server.ended;
  t.equal(code, 1, 'the exit code tells');
  t.match(server.stderr(), reason);
  t.equal(server.stderr().trim().split('\n').length, 1, 'it is one line');
  t.notMatch(server.stderr(), /^\s+at /m, 'there is no stack');
  t.notMatch(server.stdout(), /ready/);
}
