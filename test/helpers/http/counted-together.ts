import { randomUUID } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import type { Test } from '../run/tap.js';
import { until } from '../until.js';
import { send } from './server-load.js';

/** Where servers are: the proxy's address, and their own. */
interface Addresses {
  readonly url: string;
  readonly urls: readonly string[];
}

/** Registers a device from an address of this machine; resolves to the status. */
function registerFrom(address: string, url: string, forwarded?: string): Promise<number | undefined> {
  return new Promise((resolve) => {
    const headers = {
      'content-type': 'application/json',
      ...(forwarded !== undefined && { 'x-forwarded-for': forwarded }),
    };
    const sent = httpRequest(
      `${url}/api/devices/register`,
      { method: 'POST', localAddress: address, headers },
      (answer) => {
        answer.resume();
        resolve(answer.statusCode);
      },
    );
    sent.once('error', () => resolve(undefined));
    sent.end(JSON.stringify({ device_name: 'Test', hardware_fingerprint: randomUUID() }));
  });
}

/** Does something again until Redis answered all servers in time meanwhile, which it may not on a busy machine. */
export function whileRedisAnswers<T>(urls: readonly string[], act: () => Promise<T>): Promise<T> {
  return until('Redis answered all servers in time', async () => {
    const result = await act();
    const states = await Promise.all(urls.map((server) => send(server, '/readyz')));
    return states.some((state) => state?.body['notice'] !== undefined) ? undefined : result;
  });
}

/** Asserts that an address registers so many devices in a minute through all servers together, whoever it says it is. */
export async function assertCounted(t: Test, { url, urls }: Addresses, limit: number): Promise<void> {
  let address = 1;
  const statuses = await whileRedisAnswers(urls, () => {
    address += 1;
    const from = `127.0.0.${address}`;
    return Promise.all(Array.from({ length: limit + 10 }, (_, n) => registerFrom(from, url, `198.51.100.${n}`)));
  });
  t.equal(statuses.filter((status) => status === 201).length, limit);
  t.equal(statuses.filter((status) => status === 429).length, 10);
  t.equal(await registerFrom('127.0.0.99', url), 201, 'another address has its own');
}
