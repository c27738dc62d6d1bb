import { spawn, spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
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

/** Tells whether nobody listens on a port of this machine. */
async function isFree(port: number): Promise<boolean> {
  const holder = createServer().listen(port, '127.0.0.1');
  const free = await once(holder, 'listening').then(
    () => true,
    () => false,
  );
  await new Promise((closed) => holder.close(closed));
  return free;
}

/**
 * Returns the first of some ports in a row that nobody listens on. They are none that systems give out by themselves, so
 * that no one else is given them before they are used.
 */
export async function findFreePort(count = 1): Promise<number> {
  for (;;) {
    const first = randomInt(20_000, 32_000);
    const free = await Promise.all(Array.from({ length: count }, (_, n) => isFree(first + n)));
    if (!free.includes(false)) return first;
  }
}

/** Makes an empty directory that goes with the test. */
export async function makeDirectory(t: Test): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'tokenledger-program-'));
  t.after(() => rm(path, { recursive: true, force: true, maxRetries: 10 }));
  return path;
}

/** How often a program is started that ends by itself at once, and how long after, in milliseconds. */
const STARTS = 20;
const START_AGAIN_MS = 250;

/**
 * Starts a program that stays in the foreground. One that fails, as its port is another's for a moment, is started again.
 */
export function startProgram(t: Test, program: string, args: readonly string[], cwd: string): LocalProgram {
  let isWanted = true;
  const start = () => spawn(program, args, { cwd, stdio: 'ignore', env: { ...process.env, HOME: cwd } });
  let child = start();
  const watch = async () => {
    for (let count = 1; ; count += 1) {
      const [code] = await once(child, 'exit');
      if (!isWanted || code === null || code === 0 || count === STARTS) return;
      await delay(START_AGAIN_MS);
      if (!isWanted) return;
      child = start();
    }
  };
  const ended = watch();
  const signal = (name: NodeJS.Signals) => {
    isWanted &&= name === 'SIGSTOP' || name === 'SIGCONT';
    child.kill(name);
  };
  const stop = async () => {
    signal('SIGKILL');
    await ended;
  };
  t.after(stop);
  return { signal, stop };
}
