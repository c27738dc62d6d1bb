import { Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import pMap from 'p-map';
import { StartupError } from '../../src/config/startup-error.js';
import type { Connections, Reply } from './connections.js';
import type { ReplayOptions } from './options.js';
import { sendWithRetries } from './retry.js';

const RegisteredSchema = Type.Object({ device_token: Type.String() });
const RefusedSchema = Type.Object({ code: Type.String() });

function parseBody(reply: Reply): unknown {
  try {
    return JSON.parse(reply.body);
  } catch {
    return undefined;
  }
}

/** Names why the server refused: by the code it gives, or by the status where it gives none. */
export function toRefusalCode(reply: Reply): string {
  const body = parseBody(reply);
  return Value.Check(RefusedSchema, body) ? body.code : `HTTP ${reply.status}`;
}

/**
 * Registers the run's devices, which are the same ones when the run is resumed.
 * @returns their tokens
 * @throws {StartupError} when the server cannot be reached or does not let a device in
 */
export async function registerDevices(connections: Connections, options: ReplayOptions): Promise<string[]> {
  let waiting = false;
  const reportWaiting = (problem: string) => {
    if (!waiting) process.stderr.write(`Waiting for ${options.api.href} (${problem})\n`);
    waiting = true;
  };
  const register = async (_: unknown, n: number): Promise<string> => {
    const name = `replay-${options.run}-${n + 1}`;
    const request = JSON.stringify({ device_name: name, hardware_fingerprint: name });
    const send = () => connections.post('/devices/register', {}, request);
    const { reply, problem } = await sendWithRetries(send, connections.closed, reportWaiting);
    if (reply === undefined) throw new StartupError(`${options.api.href} cannot be reached (${problem})`);
    const body = parseBody(reply);
    if (reply.status >= 300 || !Value.Check(RegisteredSchema, body)) {
      throw new StartupError(`${options.api.href} does not register devices (${toRefusalCode(reply)})`);
    }
    return body.device_token;
  };
  return pMap(Array(options.devices).keys(), register, { concurrency: options.concurrency });
}
