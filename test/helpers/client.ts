import type { Test } from 'tap';
import { type Client, type ClientOptions, type ClientStorage, createClient } from '../../src/client/client.js';

/** A network between clients and a server that can be bad. */
export interface Network {
  readonly fetch: typeof globalThis.fetch;
  /** Paths that were asked for, in order, as `POST /api/…`. */
  readonly requests: string[];
  /** What happens to requests from now on: `loses` drops the answer once the server has done what was asked. */
  state: 'works' | 'is down' | 'loses';
}

/** Opens a network that works, until it is told otherwise. */
export function openNetwork(): Network {
  const network: Network = {
    requests: [],
    state: 'works',
    fetch: async (input, init) => {
      network.requests.push(`${init?.method} ${new URL(String(input)).pathname}`);
      if (network.state === 'is down') throw new TypeError('fetch failed');
      const response = await fetch(input, init);
      if (network.state !== 'loses') return response;
      await response.arrayBuffer();
      throw new TypeError('fetch failed');
    },
  };
  return network;
}

/** Keeps everything until the test ends. */
export function memoryStorage(): ClientStorage {
  const values = new Map<string, string>();
  return {
    get: (name) => values.get(name),
    set: (name, value) => values.set(name, value),
    remove: (name) => values.delete(name),
  };
}

/** A storage that can stop working. */
export function brittleStorage(): ClientStorage & { isBroken: boolean } {
  const inner = memoryStorage();
  const storage = {
    isBroken: false,
    get: (name: string) => inner.get(name),
    set: (name: string, value: string) => {
      if (storage.isBroken) throw new Error('the disk is full');
      return inner.set(name, value);
    },
    remove: (name: string) => inner.remove(name),
  };
  return storage;
}

/** Opens a client that waits for nothing; it ends with the test. */
export function openClient(
  t: Test,
  baseUrl: string,
  options: Partial<ClientOptions> & { readonly network?: Network } = {},
): Client {
  const { network, ...rest } = options;
  const client = createClient({
    baseUrl,
    storage: memoryStorage(),
    device: { name: 'Test' },
    retries: 0,
    wait: async () => {},
    ...(network && { fetch: network.fetch }),
    ...rest,
  });
  t.after(() => client.close());
  return client;
}
