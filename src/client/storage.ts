import { parseJson, TokenledgerError } from './errors.js';

type Eventually<T> = T | PromiseLike<T>;

/** Where the client keeps what has to survive: texts by name. Every window and worker of one person shares it. */
export interface ClientStorage {
  readonly get: (name: string) => Eventually<unknown>;
  readonly set: (name: string, value: string) => Eventually<unknown>;
  readonly remove: (name: string) => Eventually<unknown>;
}

/** Uses `localStorage` of a web page. Workers do not have it. */
export function webStorage(area: {
  getItem(name: string): string | null;
  setItem(name: string, value: string): void;
  removeItem(name: string): void;
}): ClientStorage {
  return {
    get: (name) => area.getItem(name),
    set: (name, value) => area.setItem(name, value),
    remove: (name) => area.removeItem(name),
  };
}

/** Uses `chrome.storage.local`, or `browser.storage.local` in Firefox. */
export function extensionStorage(area: {
  get(name: string): Promise<Record<string, unknown>>;
  set(items: Record<string, unknown>): Promise<void>;
  remove(name: string): Promise<void>;
}): ClientStorage {
  return {
    get: async (name) => (await area.get(name))[name],
    set: (name, value) => area.set({ [name]: value }),
    remove: (name) => area.remove(name),
  };
}

/** Uses `context.secrets` of VS Code, which all its windows share and the system's keychain protects. */
export function secretStorage(secrets: {
  get(name: string): PromiseLike<string | undefined>;
  store(name: string, value: string): PromiseLike<void>;
  delete(name: string): PromiseLike<void>;
}): ClientStorage {
  return {
    get: (name) => secrets.get(name),
    set: (name, value) => secrets.store(name, value),
    remove: (name) => secrets.delete(name),
  };
}

/** A storage of values instead of texts. */
export interface Store {
  /** Reads a value; undefined where there is none, or none that can be read. */
  readonly read: <T>(name: string) => Promise<T | undefined>;
  readonly write: (name: string, value: unknown) => Promise<unknown>;
  readonly remove: (name: string) => Promise<unknown>;
}

/** Opens a storage under a prefix. Its functions throw STORAGE_FAILED. */
export function openStore(storage: ClientStorage, prefix: string): Store {
  const guarded = async <T>(work: () => Eventually<T>): Promise<T> => {
    try {
      return await work();
    } catch (cause) {
      throw new TokenledgerError('STORAGE_FAILED', 'The storage does not work', { cause });
    }
  };
  return {
    read: async (name) => {
      const text = await guarded(() => storage.get(`${prefix}.${name}`));
      return typeof text === 'string' ? parseJson(text) : undefined;
    },
    write: (name, value) => guarded(() => storage.set(`${prefix}.${name}`, JSON.stringify(value))),
    remove: (name) => guarded(() => storage.remove(`${prefix}.${name}`)),
  };
}
