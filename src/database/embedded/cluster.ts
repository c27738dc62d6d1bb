import { randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { StartupError, systemCodeOf } from '../../startup-error.js';
import { type Binaries, findBinaries } from './binaries.js';
import { chooseRunner, type Runner } from './unprivileged.js';

/** A Postgres cluster in a directory of ours, reachable on loopback only. */
export interface Cluster {
  readonly directory: string;
  /** Connection string of the superuser. */
  readonly adminUrl: string;
  readonly port: number;
  /** Starts Postgres again on the same port after it died. */
  readonly restart: () => Promise<void>;
  /** Stops Postgres cleanly (fast shutdown). */
  readonly stop: () => Promise<void>;
}

/** SQLSTATE of a Postgres that is starting, recovering or stopping. */
const CANNOT_CONNECT_NOW = '57P03';

const SETTINGS = [
  'listen_addresses=127.0.0.1',
  'unix_socket_directories=',
  'max_connections=60',
  'timezone=UTC',
  'log_timezone=UTC',
  // The server log must never hold statements: their text may carry what callers sent.
  'log_min_error_statement=panic',
];

async function initialise(directory: string, password: string, tools: Tools): Promise<void> {
  // Made aside and moved into place: a start cut short leaves no half-made cluster behind.
  const draft = `${directory}.new-${randomUUID()}`;
  await mkdir(draft, { mode: 0o700 });
  const passwordFile = join(draft, '..', `.password-${randomUUID()}`);
  await writeFile(passwordFile, password, { mode: 0o600 });
  try {
    await Promise.all([tools.runner.own(draft), tools.runner.own(passwordFile)]);
    await tools.runner.run(tools.binaries.initdb, [
      ...['-D', draft, '-U', 'postgres', '-A', 'scram-sha-256', `--pwfile=${passwordFile}`, '-E', 'UTF8'],
      ...['--locale-provider=builtin', '--builtin-locale=C.UTF-8', '--locale=C'],
      ...SETTINGS.flatMap((setting) => ['--set', setting]),
    ]);
    await rename(draft, directory).catch((error: unknown) => {
      if (systemCodeOf(error) !== 'ENOTEMPTY' && systemCodeOf(error) !== 'EEXIST') throw error;
    });
  } finally {
    await rm(passwordFile, { force: true });
    await rm(draft, { recursive: true, force: true });
  }
}

interface Tools {
  readonly binaries: Binaries;
  readonly runner: Runner;
}

function urlOf(port: number, password: string): string {
  return `postgres://postgres:${encodeURIComponent(password)}@127.0.0.1:${port}/postgres`;
}

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((listening, failed) => probe.once('error', failed).listen(0, '127.0.0.1', listening));
  const address = probe.address();
  await new Promise((closed) => probe.close(closed));
  if (address === null || typeof address === 'string') throw new Error('no free port');
  return address.port;
}

/** The port a Postgres left running in the directory listens on, or undefined where none answers. */
async function runningPort(directory: string, password: string): Promise<number | undefined> {
  const pidFile = await readFile(join(directory, 'postmaster.pid'), 'utf8').catch(() => '');
  const port = Number(pidFile.split('\n')[3]);
  if (!Number.isInteger(port) || port <= 0) return undefined;
  const client = new pg.Client({ connectionString: urlOf(port, password), connectionTimeoutMillis: 5_000 });
  client.on('error', () => {});
  try {
    await client.connect();
    await client.end();
    return port;
  } catch (error) {
    const changing = error instanceof pg.DatabaseError && error.code === CANNOT_CONNECT_NOW;
    if (!changing) return undefined;
    await delay(100);
    return runningPort(directory, password);
  }
}

/** Removes a pid file whose process is not Postgres: numbers are reused after a crash of the machine. */
async function dropForeignPidFile(directory: string): Promise<void> {
  const file = join(directory, 'postmaster.pid');
  const pid = (await readFile(file, 'utf8').catch(() => '')).split('\n')[0];
  const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => undefined);
  if (command !== undefined && !command.includes('postgres')) await rm(file, { force: true });
}

/**
 * Opens the cluster in a directory: makes it where there is none, starts it where it is stopped, and joins it
 * where it runs already (after a crash of the server, or beside a running one).
 *
 * @param options.settings further Postgres settings, `name=value`
 * @throws {StartupError} when Postgres cannot be made or started, with the reason in one line
 */
export async function openCluster(options: {
  readonly directory: string;
  readonly password: string;
  readonly settings?: readonly string[];
  readonly runner?: Runner;
}): Promise<Cluster> {
  const directory = resolve(options.directory);
  const binaries = await findBinaries();
  const tools = { binaries, runner: options.runner ?? (await chooseRunner(directory)) };
  const initialised = await readFile(join(directory, 'PG_VERSION'), 'utf8').catch(() => undefined);
  const log = join(directory, 'server.log');
  let port = 0;

  const start = async () => {
    await dropForeignPidFile(directory);
    const settings = [`port=${port}`, ...(options.settings ?? [])].map((setting) => `-c ${setting}`).join(' ');
    await tools.runner.run(binaries.pgCtl, [
      'start',
      '-w',
      '-t',
      '120',
      '-s',
      '-D',
      directory,
      '-l',
      log,
      '-o',
      settings,
    ]);
  };
  try {
    if (initialised === undefined) await initialise(directory, options.password, tools);
    const running = await runningPort(directory, options.password);
    port = running ?? (await freePort());
    if (running === undefined) await start();
  } catch (error) {
    throw new StartupError(`Postgres could not be started in ${directory}; see ${log}: ${reasonOf(error)}`, {
      cause: error,
    });
  }

  return {
    directory,
    port,
    adminUrl: urlOf(port, options.password),
    restart: start,
    stop: () => tools.runner.run(binaries.pgCtl, ['stop', '-w', '-t', '60', '-s', '-m', 'fast', '-D', directory]),
  };
}

function reasonOf(error: unknown): string {
  const printed = error instanceof Error && 'stderr' in error ? String(error.stderr) : String(error);
  return printed.trim().split('\n')[0] ?? '';
}
