import { randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { StartupError, toSystemCode } from '../../../config/startup-error.js';
import { type Binaries, findBinaries, readMajorVersion } from './binaries.js';
import { findRunningPort, isRunning, removeStalePidFile } from './postmaster.js';
import { chooseRunner, type Runner } from './unprivileged.js';

/** A Postgres cluster in one of our directories, reachable on loopback and by a socket in that directory only. */
export interface Cluster {
  readonly directory: string;
  /** Connection string of the superuser. */
  readonly adminUrl: string;
  readonly port: number;
  /** Starts Postgres again on the same port, unless it is running. */
  readonly restart: () => Promise<void>;
  /** Stops Postgres cleanly (fast shutdown), if it is running. */
  readonly stop: () => Promise<void>;
}

/** Another process may take the port between its choice and its use, and two first starts may race. */
const START_ATTEMPTS = 3;

const SETTINGS = [
  'listen_addresses=127.0.0.1',
  'unix_socket_directories=',
  'max_connections=60',
  'timezone=UTC',
  'log_timezone=UTC',
  // The server log must never hold what callers sent: neither statements nor the values that errors quote.
  'log_min_error_statement=panic',
  'log_min_messages=log',
];

/** Has Postgres listen on a socket in its data directory too, which nobody else can enter; Windows has none Node knows. */
const SOCKET = process.platform === 'win32' ? [] : ['unix_socket_directories=.'];

/** Creates a cluster with `initdb`; of two first starts at once, the first to finish wins. */
async function initialize(directory: string, password: string, tools: Tools): Promise<void> {
  // Created aside and moved into place, so that an interrupted start leaves no half-made cluster behind.
  const draft = `${directory}.new-${randomUUID()}`;
  await mkdir(draft, { mode: 0o700 });
  const passwordFile = join(draft, '..', `.password-${randomUUID()}`);
  await writeFile(passwordFile, password, { mode: 0o600 });
  try {
    await Promise.all([tools.runner.chown(draft), tools.runner.chown(passwordFile)]);
    await tools.runner.run(tools.binaries.initdb, [
      ...['-D', draft, '-U', 'postgres', '-A', 'scram-sha-256', `--pwfile=${passwordFile}`, '-E', 'UTF8'],
      ...['--locale-provider=builtin', '--builtin-locale=C.UTF-8', '--locale=C'],
      ...SETTINGS.flatMap((setting) => ['--set', setting]),
    ]);
    await rename(draft, directory).catch((error: unknown) => {
      if (toSystemCode(error) !== 'ENOTEMPTY' && toSystemCode(error) !== 'EEXIST') throw error;
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

/** Returns the connection string of the superuser. */
function toUrl(port: number, password: string): string {
  return `postgres://postgres:${encodeURIComponent(password)}@127.0.0.1:${port}/postgres`;
}

/** Returns a loopback port nobody listens on right now. */
async function findFreePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((listening, failed) => probe.once('error', failed).listen(0, '127.0.0.1', listening));
  const address = probe.address();
  await new Promise((closed) => probe.close(closed));
  if (address === null || typeof address === 'string') throw new Error('no free port');
  return address.port;
}

/**
 * Opens the cluster in a directory: creates it if there is none, starts it if it is stopped, and adopts it if it is
 * already running (after a crash of the server, or beside a running one).
 *
 * @param options.settings further Postgres settings, `name=value`
 * @throws {StartupError} when Postgres cannot be created or started, with the reason in one line
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
  const log = join(directory, 'server.log');
  const toAdminUrl = (port: number) => toUrl(port, options.password);
  const pgCtl = (...args: string[]) => tools.runner.run(binaries.pgCtl, [...args, '-w', '-s', '-D', directory]);

  const start = async (port: number) => {
    await removeStalePidFile(directory);
    const settings = [`port=${port}`, ...SOCKET, ...(options.settings ?? [])]
      .map((setting) => `-c ${setting}`)
      .join(' ');
    await pgCtl('start', '-t', '120', '-l', log, '-o', settings);
    // What cannot be used must not be left running.
    await findRunningPort(directory, toAdminUrl).catch(async (error: unknown) => {
      await pgCtl('stop', '-t', '60', '-m', 'fast').catch(() => {});
      throw error;
    });
  };
  const adoptOrStart = async (attempt = 1): Promise<number> => {
    const running = await findRunningPort(directory, toAdminUrl);
    if (running !== undefined) return running;
    const port = await findFreePort();
    try {
      await start(port);
      return port;
    } catch (error) {
      if (attempt === START_ATTEMPTS || error instanceof StartupError) throw error;
      return adoptOrStart(attempt + 1);
    }
  };

  try {
    if (!(await isInitialized(directory, binaries))) await initialize(directory, options.password, tools);
    const port = await adoptOrStart();
    return {
      directory,
      port,
      adminUrl: toAdminUrl(port),
      restart: async () => {
        if ((await findRunningPort(directory, toAdminUrl)) === undefined) await start(port);
      },
      stop: () =>
        pgCtl('stop', '-t', '60', '-m', 'fast').catch(async (error: unknown) => {
          if (await isRunning(directory)) throw error;
        }),
    };
  } catch (error) {
    if (error instanceof StartupError) throw error;
    // What fails before there is a log is told by its own program.
    const isLogged = await stat(log).then(
      () => true,
      () => false,
    );
    const failed = isLogged ? `started in ${directory}; see ${log}` : `made in ${directory}`;
    throw new StartupError(`Postgres could not be ${failed}: ${readReason(error)}`, { cause: error });
  }
}

/**
 * Tells whether a directory holds a cluster.
 * @throws {StartupError} where it holds one of another major version, whose files these programs do not read
 */
async function isInitialized(directory: string, binaries: Binaries): Promise<boolean> {
  const version = await readFile(join(directory, 'PG_VERSION'), 'utf8').catch(() => undefined);
  if (version === undefined) return false;
  const [there, here] = [version.trim(), await readMajorVersion(binaries)];
  if (there === here) return true;
  throw new StartupError(
    `${directory} is of Postgres ${there}, which Postgres ${here} of this server cannot read; nothing was changed. Save it with ` +
      'the server it came from ("npm run backup"), and let this one restore that ("npm run restore -- <file>") into another ' +
      'DATA_DIR: see "A new major version of Postgres" in docs/operations.md',
  );
}

/** Returns why Postgres did not start: the first line its program printed. */
function readReason(error: unknown): string {
  const printed = error instanceof Error && 'stderr' in error ? String(error.stderr) : String(error);
  return printed.trim().split('\n')[0] ?? '';
}
