import type { TestUser } from './accounts.js';

/** A person's settings, as every read and write of the document answers them. */
export interface Settings {
  readonly settings: Readonly<Record<string, unknown>>;
  readonly version: number;
  readonly last_synced_at: string | null;
}

/** A change to one setting, as a device sends it. */
export type Change =
  | { readonly value: unknown; readonly updated_at: number }
  | { readonly deleted: true; readonly updated_at: number };
export type Changes = Readonly<Record<string, Change>>;

/** The state of one setting, as the server answers it. */
export interface Standing {
  readonly value?: unknown;
  readonly deleted?: true;
  readonly updated_at: number;
  readonly device: string | null;
  readonly version: number;
}

export interface Pushed extends Settings {
  readonly overruled: Readonly<Record<string, Standing>>;
}

export interface Pulled {
  readonly version: number;
  readonly last_synced_at: string | null;
  readonly full: boolean;
  readonly changes: Readonly<Record<string, Standing>>;
}

/** Creates a client of a person's settings over HTTP; each call returns the body and throws unless it got a 200. */
export function createSettingsClient(user: TestUser) {
  const answered = async <T>(response: ReturnType<TestUser['as']>): Promise<T> => {
    const { statusCode, payload } = await response;
    if (statusCode !== 200) throw new Error(`answered ${statusCode}: ${payload}`);
    return JSON.parse(payload);
  };
  return {
    read: () => answered<Settings>(user.as('GET', '/api/sync/settings')),
    put: (settings: object, version?: number) =>
      answered<Settings>(user.as('PUT', '/api/sync/settings', { settings, ...(version !== undefined && { version }) })),
    push: (changes: Changes, device?: string, base_version = 0) =>
      answered<Pushed>(
        user.as('POST', '/api/sync/push', { base_version, changes, ...(device !== undefined && { device }) }),
      ),
    pull: (since = 0) => answered<Pulled>(user.as('GET', `/api/sync/pull?since=${since}`)),
    restore: (version: number) => answered<Settings>(user.as('POST', '/api/sync/restore', { version })),
    history: async () => {
      const { versions } = await answered<{ versions: (Settings & { action: string; device: string | null })[] }>(
        user.as('GET', '/api/sync/history'),
      );
      return versions;
    },
  };
}
