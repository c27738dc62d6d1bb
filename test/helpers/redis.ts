import { connect } from 'node:net';
import type { Test } from 'tap';
import { findFreePort, type LocalProgram, makeDirectory, startProgram } from './local-program.js';
import { until } from './until.js';

/** A Redis of a test's own, which keeps nothing. */
export interface TestRedis {
  readonly url: string;
  readonly signal: LocalProgram['signal'];
  readonly stop: () => Promise<void>;
  /** Starts it again, empty, at the same address. */
  readonly start: () => Promise<void>;
}

/** Returns what Redis answers to PING, or undefined where nobody does. */
function ping(port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.write('PING\r\n'));
    socket.once('data', (data) => {
      resolve(data.toString());
      socket.destroy();
    });
    socket.once('error', () => resolve(undefined));
  });
}

/** Starts Redis on a free loopback port; it ends with the test. */
export async function openRedis(t: Test): Promise<TestRedis> {
  const directory = await makeDirectory(t);
  const port = await findFreePort();
  const args = ['--port', `${port}`, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', directory];
  let program: LocalProgram | undefined;
  const start = async () => {
    program = startProgram(t, 'redis-server', args, directory);
    await until('Redis answers', async () => ((await ping(port))?.startsWith('+PONG') ? true : undefined));
  };
  await start();
  return {
    url: `redis://127.0.0.1:${port}`,
    signal: (name) => program?.signal(name),
    stop: async () => program?.stop(),
    start,
  };
}
