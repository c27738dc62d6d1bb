import { execFile } from 'node:child_process';
import { chown, stat } from 'node:fs/promises';
import { promisify } from 'node:util';
import { StartupError } from '../../../config/startup-error.js';

const run = promisify(execFile);

/** Runs the programs of Postgres, never under root's identity, which Postgres refuses. */
export interface Runner {
  /** Runs a program to its end. @throws the error with what it printed, when it fails */
  readonly run: (file: string, args: readonly string[]) => Promise<void>;
  /** Gives a directory we just created to the identity Postgres runs as. */
  readonly chown: (directory: string) => Promise<void>;
}

const NAMESPACE = ['--user', '--map-user=65534', '--map-group=65534', '--'];
const ACCOUNT = 'postgres';

/** Returns only the variables the programs need, as the server's own environment holds secrets. */
function environment(): NodeJS.ProcessEnv {
  const { PATH, SystemRoot, TMPDIR } = process.env;
  return { LC_ALL: 'C', ...(PATH && { PATH }), ...(SystemRoot && { SystemRoot }), ...(TMPDIR && { TMPDIR }) };
}

/** Runs programs as the user the server runs as. */
const directRunner: Runner = {
  run: async (file, args) => void (await run(file, args, { env: environment() })),
  chown: async () => {},
};

/**
 * Runs programs as root in a user namespace that maps root to nobody: its files stay root's, and Postgres sees another
 * uid. Unlike a separate account, it can enter a project below a private directory such as /root.
 */
const namespaceRunner: Runner = {
  run: async (file, args) => void (await run('unshare', [...NAMESPACE, file, ...args], { env: environment() })),
  chown: async () => {},
};

/** Creates the runner of programs under another account; only root can use it. */
export function createAccountRunner(uid: number, gid: number): Runner {
  return {
    run: async (file, args) => void (await run(file, args, { env: environment(), uid, gid, cwd: '/' })),
    chown: (directory) => chown(directory, uid, gid),
  };
}

/**
 * Returns the runner of an account by its name; creates the account if it is missing.
 * @throws {StartupError} when it can neither be found nor created
 */
export async function findAccountRunner(account = ACCOUNT): Promise<Runner> {
  const readId = async (flag: '-u' | '-g') => Number((await run('id', [flag, account])).stdout);
  try {
    await readId('-u').catch(() => run('useradd', ['--system', '--user-group', '--no-create-home', account]));
    return createAccountRunner(await readId('-u'), await readId('-g'));
  } catch (error) {
    throw new StartupError(
      `Postgres does not run as root, and no account "${account}" could be found or made; start the server as another user`,
      { cause: error },
    );
  }
}

/** Tells whether root may create user namespaces, which containers forbid by default. */
async function areNamespacesAllowed(): Promise<boolean> {
  return run('unshare', [...NAMESPACE, 'true']).then(
    () => true,
    () => false,
  );
}

/**
 * Chooses how to run Postgres: as the current user; for root in a user namespace, or under the account postgres where
 * namespaces are not allowed. Existing data stays with the identity that owns it.
 *
 * @param directory the cluster's data directory, existing or not
 * @param host overrides what this machine offers root
 */
export async function chooseRunner(
  directory: string,
  host: { readonly namespaces?: boolean; readonly account?: string } = {},
): Promise<Runner> {
  if (process.getuid?.() !== 0) return directRunner;
  const existing = await stat(directory).catch(() => undefined);
  if (existing !== undefined && existing.uid !== 0) return createAccountRunner(existing.uid, existing.gid);
  return (host.namespaces ?? (await areNamespacesAllowed())) ? namespaceRunner : findAccountRunner(host.account);
}
