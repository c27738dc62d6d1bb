import type { Store } from './storage.js';
import { sleep } from './transport.js';

/** Lets one after the other work under a name, in all windows and workers that share a storage. */
export interface Locks {
  readonly request: <T>(name: string, work: () => Promise<T>) => Promise<T>;
}

interface Lease {
  readonly owner: string;
  /** Milliseconds since 1970. */
  readonly until: number;
}

/** How long a lease lasts whose owner is gone: as long as a request may take. */
const LEASE_MS = 30_000;
/** How long others get to overwrite a lease before it counts. */
const SETTLE_MS = 15;
const POLL_MS = 50;

/** Returns the browser's Web Locks. Node's, where it has them, end at its process, and so do not count. */
export function findWebLocks(): Locks | undefined {
  const { navigator, process }: { navigator?: { locks?: Locks }; process?: { versions?: { node?: string } } } =
    Object(globalThis);
  return process?.versions?.node === undefined ? navigator?.locks : undefined;
}

/**
 * Makes locks of a storage that several processes share, as windows of VS Code do: who writes their name and still finds
 * it a moment later has it. Nothing is written in one step with reading, so that it may fail once in a long while, and a
 * lease may end before the work does; what then happens twice has the same idempotency key.
 */
export function createStorageLocks(store: Store): Locks {
  const owner = crypto.randomUUID();
  const queues = new Map<string, Promise<unknown>>();

  async function acquire(name: string): Promise<void> {
    for (;;) {
      const lease = await store.read<Lease>(name);
      if (lease === undefined || lease.owner === owner || lease.until < Date.now()) {
        await store.write(name, { owner, until: Date.now() + LEASE_MS } satisfies Lease);
        await sleep(SETTLE_MS);
        if ((await store.read<Lease>(name))?.owner === owner) return;
      }
      await sleep(POLL_MS * (0.5 + Math.random()));
    }
  }

  async function hold<T>(name: string, work: () => Promise<T>): Promise<T> {
    await acquire(name);
    try {
      return await work();
    } finally {
      await store.remove(name).catch(() => {});
    }
  }

  return {
    request: (name, work) => {
      const turn = (queues.get(name) ?? Promise.resolve()).then(() => hold(`lock.${name}`, work));
      queues.set(
        name,
        turn.catch(() => {}),
      );
      return turn;
    },
  };
}
