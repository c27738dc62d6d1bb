import { spawn, spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';

/** A program of this machine that a test started; it ends with the test. */
export interface LocalProgram {
  readonly signal: (name: NodeJS.Signals) => void;
  /** Ends it, and waits until it has. */
  readonly stop: () => Promise<void>;
}

/** Returns why a test must be skipped: a program is not installed; false where it is. */
export function isMissing(program: string, versionFlag: string): string | false {
  const { error } = spawnSync(program, [versionFlag], { stdio: 'ignore' });
  return error === undefined ? false : `${program} is not installed`;
}

/** Returns a port of this machine that nobody listens on. */
export async function findFreePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port was given');
  return address.port;
}

/** Makes an empty directory that goes with the test. */
export async function makeDirectory(t: Test): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'tokenledger-program-'));
  t.after(() => rm(path, { recursive: true, force: true, maxRetries: 10 }));
  return path;
}

/** Starts a program that stays in the foreground. */
export function startProgram(t: Test, program: string, args: readonly string[], cwd: string): LocalProgram {
  const child = spawn(program, args, { cwd, stdio: 'ignore', env: { ...process.env, HOME: cwd } });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const stop = async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
    await ended;
  };
  t.after(stop);
  return { signal: (name) => child.kill(name), stop };
}
