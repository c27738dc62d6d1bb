import { execFile } from 'node:child_process';
import { chown, stat } from 'node:fs/promises';
import { promisify } from 'node:util';
import { StartupError } from '../../startup-error.js';

const run = promisify(execFile);

/** Runs Postgres' programs; as root it does so without root's identity, which Postgres refuses. */
export interface Runner {
  /** Runs a program to its end. @throws what it printed, when it fails */
  readonly run: (file: string, args: readonly string[]) => Promise<void>;
  /** Hands a directory, just made by us, to the identity Postgres runs as. */
  readonly own: (directory: string) => Promise<void>;
}

const NAMESPACE = ['--user', '--map-user=65534', '--map-group=65534', '--'];
const ACCOUNT = 'postgres';

/** Only what the programs need: the server's own environment holds secrets. */
function environment(): NodeJS.ProcessEnv {
  const { PATH, SystemRoot, TMPDIR } = process.env;
  return { LC_ALL: 'C', ...(PATH && { PATH }), ...(SystemRoot && { SystemRoot }), ...(TMPDIR && { TMPDIR }) };
}

const asOurselves: Runner = {
  run: async (file, args) => void (await run(file, args, { env: environment() })),
  own: async () => {},
};

/**
 * Root keeps its files but is another uid to Postgres: a user namespace maps it to nobody.
 * Unlike an account of its own, this reaches a project below a private directory such as /root.
 */
const inNamespace: Runner = {
  run: async (file, args) => void (await run('unshare', [...NAMESPACE, file, ...args], { env: environment() })),
  own: async () => {},
};

/** Runs programs as another account: for root only. */
export function asAccount(uid: number, gid: number): Runner {
  return {
    run: async (file, args) => void (await run(file, args, { env: environment(), uid, gid, cwd: '/' })),
    own: (directory) => chown(directory, uid, gid),
  };
}

/**
 * Runs programs as an account by its name, made where it is missing.
 * @throws {StartupError} when it can neither be found nor made
 */
export async function accountRunner(account = ACCOUNT): Promise<Runner> {
  const idOf = async (flag: '-u' | '-g') => Number((await run('id', [flag, account])).stdout);
  try {
    await idOf('-u').catch(() => run('useradd', ['--system', '--user-group', '--no-create-home', account]));
    return asAccount(await idOf('-u'), await idOf('-g'));
  } catch (error) {
    throw new StartupError(
      `Postgres does not run as root, and no account "${account}" could be found or made; start the server as another user`,
      { cause: error },
    );
  }
}

/** Whether root may make user namespaces: default containers forbid it. */
async function namespacesAllowed(): Promise<boolean> {
  return run('unshare', [...NAMESPACE, 'true']).then(
    () => true,
    () => false,
  );
}

/**
 * Chooses how to run Postgres: as ourselves, or as root in a user namespace, or, where those are not allowed,
 * as the account postgres. Data that exists stays with the identity that owns it.
 *
 * @param directory the cluster's data directory, existing or not
 * @param host what this machine offers to root
 */
export async function chooseRunner(
  directory: string,
  host: { readonly namespaces?: boolean; readonly account?: string } = {},
): Promise<Runner> {
  if (process.getuid?.() !== 0) return asOurselves;
  const existing = await stat(directory).catch(() => undefined);
  if (existing !== undefined && existing.uid !== 0) return asAccount(existing.uid, existing.gid);
  return (host.namespaces ?? (await namespacesAllowed())) ? inNamespace : accountRunner(host.account);
}
