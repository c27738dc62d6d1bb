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

function asAccount(uid: number, gid: number): Runner {
  return {
    run: async (file, args) => void (await run(file, args, { env: environment(), uid, gid, cwd: '/' })),
    own: (directory) => chown(directory, uid, gid),
  };
}

async function idOf(flag: '-u' | '-g'): Promise<number> {
  return Number((await run('id', [flag, ACCOUNT])).stdout);
}

async function accountRunner(): Promise<Runner> {
  try {
    await idOf('-u').catch(() => run('useradd', ['--system', '--user-group', '--no-create-home', ACCOUNT]));
    return asAccount(await idOf('-u'), await idOf('-g'));
  } catch (error) {
    throw new StartupError(
      `Postgres does not run as root, and no account "${ACCOUNT}" could be found or made; start the server as another user`,
      { cause: error },
    );
  }
}

/**
 * Chooses how to run Postgres: as ourselves, or as root in a user namespace, or, where those are not allowed
 * (default containers), as the account postgres. Data that exists stays with the identity that owns it.
 *
 * @param directory the cluster's data directory, existing or not
 */
export async function chooseRunner(directory: string): Promise<Runner> {
  if (process.getuid?.() !== 0) return asOurselves;
  const existing = await stat(directory).catch(() => undefined);
  if (existing !== undefined && existing.uid !== 0) return asAccount(existing.uid, existing.gid);
  try {
    await run('unshare', [...NAMESPACE, 'true']);
    return inNamespace;
  } catch {
    return accountRunner();
  }
}
