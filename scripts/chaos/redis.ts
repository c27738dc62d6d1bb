import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { answers, findFreePort } from './ports.js';

/** A Redis that keeps nothing, and is killed and frozen. */
export interface RedisStandIn {
  readonly environment: Readonly<Record<string, string>>;
  /** Whether Redis is installed. */
  readonly isThere: boolean;
  readonly signal: (signal: 'SIGSTOP' | 'SIGCONT') => void;
  readonly kill: () => Promise<void>;
  /** Starts it again, empty, at the same address. */
  readonly start: () => Promise<void>;
}

const MOST = '1000000000';
/** Limits that nothing reaches, as they are counted and not what is tried. */
const LIMITS = Object.fromEntries(
  [
    ...['ADDRESS', 'REGISTRATION', 'ACCOUNT', 'DEVICE', 'USER', 'API_KEY', 'ADMIN', 'TRACKER'],
    ...['DEVICE_TOKENS', 'USER_TOKENS'],
  ].map((name) => [`RATE_LIMIT_${name}`, MOST]),
);

/** Starts Redis in a directory, where it is installed; elsewhere servers count by themselves. */
export async function openRedis(directory: string): Promise<RedisStandIn> {
  const isThere = spawnSync('redis-server', ['--version'], { stdio: 'ignore' }).error === undefined;
  const port = await findFreePort();
  let child: ChildProcess | undefined;
  const start = async () => {
    if (!isThere) return;
    const options = [
      '--port',
      String(port),
      '--bind',
      '127.0.0.1',
      '--save',
      '',
      '--appendonly',
      'no',
      '--dir',
      directory,
    ];
    child = spawn('redis-server', options, { stdio: 'ignore' });
    while (!(await answers(port))) await delay(20);
  };
  await start();
  return {
    environment: { RATE_LIMIT: 'on', ...LIMITS, ...(isThere && { REDIS_URL: `redis://127.0.0.1:${port}` }) },
    isThere,
    signal: (signal) => void child?.kill(signal),
    kill: async () => {
      if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    },
    start,
  };
}
