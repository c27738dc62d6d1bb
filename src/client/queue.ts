import { hasCode, TokenledgerError } from './errors.js';
import type { Locks } from './locks.js';
import type { Store } from './storage.js';
import type { LoggedUsage, UseToLog } from './types.js';

/** A use with its idempotency key. */
export type KeyedUse = UseToLog & { readonly event_id: string };

/** A use that waits to be sent. */
interface Entry {
  readonly use: KeyedUse;
  /** Whose use it is: the next person on this machine has another device. Unset before the first registration. */
  readonly device?: string | undefined;
  /** When it was sent first, in milliseconds since 1970; unset while it certainly was not. */
  readonly sentAt?: number;
}

/** What became of a use that was logged. */
export type LogResult =
  /** The server has it; `answer` is missing where another window got it. */
  | { readonly state: 'logged'; readonly answer?: LoggedUsage }
  /** It is kept, and sent before anything that is logged later; `reason` says why not now. */
  | { readonly state: 'queued'; readonly reason: TokenledgerError };

/** Is told of a use that is given up, and why. */
export type RefusalHook = (use: UseToLog, error: TokenledgerError) => void;

export interface QueueOptions {
  readonly store: Store;
  readonly locks: Locks;
  /** Sends a use of a device, or of the present one. */
  readonly sendUse: (use: KeyedUse, device?: string) => Promise<LoggedUsage>;
  /** The present device, where there is one already. */
  readonly knownDevice: () => Promise<string | undefined>;
  /** The present device; it is registered where there is none. */
  readonly device: () => Promise<string>;
  /** The most uses that wait; more are refused with QUEUE_FULL. */
  readonly maxLength: number;
  /** Is told of those that were refused when nobody waited for them any more. */
  readonly onRefused?: RefusalHook | undefined;
  /** Is told that some wait, and how many seconds the server wants to be left alone. */
  readonly onBlocked: (retryAfter: number | undefined) => void;
}

/** Keeps uses until the server has them, in order. */
export interface UsageQueue {
  /** @throws {TokenledgerError} when it is refused, or can be neither kept nor sent */
  readonly log: (use: KeyedUse) => Promise<LogResult>;
  /** Sends what waits; resolves with how many still do. */
  readonly flush: () => Promise<number>;
}

/** The server remembers keys for 24 hours; an hour is left for clocks and slow requests. */
const KEY_MEMORY_MS = 23 * 60 * 60 * 1_000;

/** Refusals that do not change by waiting. After all others, such as DEVICE_BLOCKED, a use is kept. */
const REFUSALS = [
  'INSUFFICIENT_TOKENS',
  'VALIDATION_FAILED',
  'IDEMPOTENCY_MISMATCH',
  'RESERVATION_NOT_FOUND',
  'RESERVATION_SETTLED',
  'DEVICE_NOT_FOUND',
] as const;

/** A use whose caller waits for what becomes of it. */
interface Awaiting {
  readonly id: string;
  outcome?: { readonly answer?: LoggedUsage; readonly error?: TokenledgerError };
}

/** What the browser says of the network: it may know that there is none, and never that there is one. */
const toNavigator = (): { navigator?: { onLine?: boolean } } => Object(globalThis);

/** Opens the queue that is kept in a storage. */
export function openQueue({
  store,
  locks,
  sendUse,
  maxLength,
  onRefused,
  onBlocked,
  ...options
}: QueueOptions): UsageQueue {
  const read = async () => (await store.read<readonly Entry[]>('queue')) ?? [];

  /** Changes the queue in one step; nobody else does meanwhile. */
  const edit = (change: (entries: readonly Entry[]) => readonly Entry[]) =>
    locks.request('queue', async () => {
      const entries = await read();
      const next = change(entries);
      if (next !== entries) await store.write('queue', next);
      return next;
    });

  async function append(use: KeyedUse) {
    const device = await options.knownDevice();
    return edit((entries) => {
      if (entries.some((entry) => entry.use.event_id === use.event_id)) return entries;
      if (entries.length >= maxLength) throw new TokenledgerError('QUEUE_FULL', 'Too many uses wait');
      return [...entries, { use, device }];
    });
  }

  const drop = ({ use }: Entry) => edit((entries) => entries.filter((entry) => entry.use.event_id !== use.event_id));

  /** Takes the first one, and notes that it is being sent, and for whom, before it is: it may be charged from then on. */
  async function takeFirst(): Promise<{ entry: Entry; wasSent: boolean } | undefined> {
    if ((await read()).length === 0) return undefined;
    const device = await options.device();
    let wasSent = false;
    const [entry] = await edit((entries) => {
      const [first, ...rest] = entries;
      wasSent = first?.sentAt !== undefined;
      return !first || wasSent ? entries : [{ device, ...first, sentAt: Date.now() }, ...rest];
    });
    return entry && { entry, wasSent };
  }

  /** Sends one use. @throws {TokenledgerError} when it has to wait */
  async function settle(
    { use, device, sentAt = 0 }: Entry,
    wasSent: boolean,
  ): Promise<NonNullable<Awaiting['outcome']>> {
    if (wasSent && Date.now() - sentAt > KEY_MEMORY_MS) {
      return { error: new TokenledgerError('UNCERTAIN', 'This use may have been charged before') };
    }
    try {
      return { answer: await sendUse(use, device) };
    } catch (error) {
      // Its hold was settled by it, when the answer was lost and the key was forgotten meanwhile.
      if (wasSent && hasCode(error, 'RESERVATION_SETTLED')) return {};
      if (hasCode(error, ...REFUSALS)) return { error };
      throw error;
    }
  }

  /** Sends what waits, one after the other; only one window does. @throws {TokenledgerError} when some have to wait */
  const replay = (own?: Awaiting) =>
    locks.request('replay', async () => {
      for (;;) {
        if (toNavigator().navigator?.onLine === false && (await read()).length > 0)
          throw new TokenledgerError('NETWORK_ERROR', 'The server did not answer');
        const first = await takeFirst();
        if (!first) return;
        const outcome = await settle(first.entry, first.wasSent);
        const { use } = first.entry;
        if (use.event_id === own?.id) own.outcome = outcome;
        else if (outcome.error) onRefused?.(use, outcome.error);
        await drop(first.entry);
      }
    });

  /** Sends what waits; returns why some still do. */
  async function trySending(own?: Awaiting): Promise<TokenledgerError | undefined> {
    try {
      await replay(own);
      return undefined;
    } catch (error) {
      if (!(error instanceof TokenledgerError)) throw error;
      onBlocked(error.retryAfter);
      return error;
    }
  }

  async function keep(use: KeyedUse): Promise<void> {
    try {
      await append(use);
    } catch (error) {
      if (!hasCode(error, 'QUEUE_FULL')) throw error;
      await trySending();
      await append(use);
    }
  }

  return {
    log: async (use) => {
      try {
        await keep(use);
      } catch (error) {
        // What cannot be kept can still be sent.
        if (hasCode(error, 'STORAGE_FAILED')) return { state: 'logged', answer: await sendUse(use) };
        throw error;
      }
      const own: Awaiting = { id: use.event_id };
      const reason = await trySending(own);
      const { error, answer } = own.outcome ?? {};
      if (error) throw error;
      if (reason && !own.outcome) return { state: 'queued', reason };
      return { state: 'logged', ...(answer && { answer }) };
    },
    flush: async () => {
      await trySending();
      return (await read()).length;
    },
  };
}
