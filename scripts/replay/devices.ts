import { Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { StartupError } from '../../src/platform/startup-error.js';
import type { Connections, Reply } from './connections.js';
import type { ReplayOptions } from './options.js';
import { sendPatiently } from './patience.js';

const RegisteredSchema = Type.Object({ device_token: Type.String() });
const RefusedSchema = Type.Object({ code: Type.String() });

function parsed(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}

/** Why the server refused: the code it names, or the status where it names none. */
export function refusalOf(reply: Reply): string {
  const body = parsed(reply.body);
  return Value.Check(RefusedSchema, body) ? body.code : `HTTP ${reply.status}`;
}

/**
 * Runs a job for each number below `count`, at most `most` at a time. After one has failed none is begun, and its error
 * is thrown once the others have ended.
 */
export async function forEachNumber(count: number, most: number, job: (n: number) => Promise<void>): Promise<void> {
  let next = 0;
  const work = async () => {
    while (next < count) {
      const n = next;
      next += 1;
      await job(n).catch((error: unknown) => {
        next = count;
        throw error;
      });
    }
  };
  const ends = await Promise.allSettled(Array.from({ length: Math.min(most, count) }, work));
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
}

/**
 * Registers the run's devices, which are the same ones where the run is resumed.
 * @returns their tokens
 * @throws {StartupError} when the server cannot be reached or lets a device not in
 */
export async function registerDevices(connections: Connections, options: ReplayOptions): Promise<string[]> {
  const tokens: string[] = [];
  let waiting = false;
  const sayWaiting = (problem: string) => {
    if (!waiting) process.stderr.write(`Waiting for ${options.api.href} (${problem})\n`);
    waiting = true;
  };
  await forEachNumber(options.devices, options.concurrency, async (n) => {
    const name = `replay-${options.run}-${n + 1}`;
    const request = JSON.stringify({ device_name: name, hardware_fingerprint: name });
    const { reply, problem } = await sendPatiently(
      () => connections.post('/devices/register', {}, request),
      sayWaiting,
    );
    if (reply === undefined) throw new StartupError(`${options.api.href} cannot be reached (${problem})`);
    const body = parsed(reply.body);
    if (reply.status >= 300 || !Value.Check(RegisteredSchema, body)) {
      throw new StartupError(`${options.api.href} does not register devices (${refusalOf(reply)})`);
    }
    tokens[n] = body.device_token;
  });
  return tokens;
}
