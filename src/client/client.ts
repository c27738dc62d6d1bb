import { type Account, createAccount } from './account.js';
import { type Chat, createChat } from './chat.js';
import { createDevice, type Device } from './device.js';
import { createStorageLocks, findWebLocks, type Locks } from './locks.js';
import type { RefusalHook } from './queue.js';
import { type ConflictHook, createSettings, type Settings, type SettingValues } from './settings.js';
import { type ClientStorage, openStore } from './storage.js';
import { createTransport, type TransportOptions } from './transport.js';
import type { User } from './types.js';

export type { Account } from './account.js';
export type { Chat, ChatChunk, ChatEvent, ChatOptions, TokenUpdate } from './chat.js';
export type { Device } from './device.js';
// biome-ignore lint/performance/noBarrelFile: this module is all that the package exports
export { hasCode, TokenledgerError } from './errors.js';
export type { LogResult } from './queue.js';
export type { Resolution, SettingConflict, Settings } from './settings.js';
export { type ClientStorage, extensionStorage, secretStorage, webStorage } from './storage.js';
export type { CheckedUse, LoggedUsage, RegisteredDevice, Use, User, UseToLog } from './types.js';

/** What a client is made of. */
export interface ClientOptions extends TransportOptions {
  /** Keeps the device, the session, the settings and uses that wait, for all windows of one person. */
  readonly storage: ClientStorage;
  /** Begins the names under which they are kept; `tokenledger` unless told otherwise. Each server needs its own. */
  readonly prefix?: string;
  /** Replaces the browser's Web Locks, or the locks that are made of the storage where there are none. */
  readonly locks?: Locks;
  readonly device: {
    /** Shown to the person and to admins. */
    readonly name: string;
    /** Names the machine; by default something random that is kept, as a fingerprint is no secret and may be guessed. */
    readonly fingerprint?: string;
    /** Where the server lets in only devices that have it. */
    readonly enrollmentKey?: string;
  };
  /** An API key (`tlk_…`) to be used instead of a person's session. */
  readonly apiKey?: string;
  /** The most uses that wait to be sent; 1,000. */
  readonly maxQueued?: number;
  /** Is told of a use that is given up: the server refused it later, or it may have been charged already. */
  readonly onRefused?: RefusalHook;
  /** Is told who is signed in after each change in this window. */
  readonly onAccountChange?: (user: User | undefined) => void;
  /** Decides between two changes of one setting; without it the newest wins. */
  readonly onConflict?: ConflictHook;
  /** Is told the settings when a synchronisation changed them. */
  readonly onSettingsChange?: (values: SettingValues) => void;
}

/** A server, as an extension uses it. */
export interface Client {
  readonly device: Device;
  readonly account: Account;
  readonly chat: Chat;
  readonly settings: Settings;
  /** Stops what runs by itself. Everything that is kept stays. */
  readonly close: () => void;
}

/** Creates a client; nothing is sent or read before it is used. */
export function createClient(options: ClientOptions): Client {
  const { storage, prefix = 'tokenledger', maxQueued = 1_000, ...rest } = options;
  const store = openStore(storage, prefix);
  const webLocks = options.locks ?? findWebLocks();
  const locks: Locks = webLocks
    ? { request: (name, work) => webLocks.request(`${prefix}.${name}`, work) }
    : createStorageLocks(store);
  const { send, clockSkew } = createTransport(options);
  const account = createAccount({ ...rest, send, store, locks });
  const device = createDevice({ ...rest, ...options.device, maxQueued, send, account, store, locks });

  // Node has no such events.
  const events: Partial<Pick<EventTarget, 'addEventListener' | 'removeEventListener'>> = Object(globalThis);
  const flush = () => void device.flush().catch(() => {});
  events.addEventListener?.('online', flush);
  return {
    device,
    account,
    chat: createChat({ account, send }),
    settings: createSettings({ ...rest, account, store, locks, clockSkew }),
    close: () => {
      events.removeEventListener?.('online', flush);
      device.close();
    },
  };
}
