import type { Account } from './account.js';
import type { Locks } from './locks.js';
import type { Store } from './storage.js';
import { readJson } from './transport.js';
import type { Json, PulledSettings, PushBody, PushedSettings, SettingChange, StandingSetting } from './types.js';

/** A setting that was changed here and elsewhere, neither knowing of the other. */
export interface SettingConflict {
  readonly name: string;
  readonly mine: SettingChange;
  readonly theirs: StandingSetting;
}

/** What a conflict ends with; `newest` goes by the time of the two changes. */
export type Resolution = 'mine' | 'theirs' | 'newest' | { readonly value: Json };

/** Decides a conflict. Without one the newest change wins. */
export type ConflictHook = (conflict: SettingConflict) => Resolution | Promise<Resolution>;

export type SettingValues = Readonly<Record<string, Json>>;

/** The person's settings, the same on all their devices. They are read and changed without a network. */
export interface Settings {
  readonly get: (name: string) => Promise<Json | undefined>;
  readonly all: () => Promise<SettingValues>;
  readonly set: (name: string, value: Json) => Promise<void>;
  readonly remove: (name: string) => Promise<void>;
  /** Fetches what others changed, sends what was changed here, and resolves with the settings as they are then. */
  readonly sync: () => Promise<SettingValues>;
}

interface State {
  /** A name of its own for each storage, as two changes of the same millisecond go by it. */
  readonly device: string;
  readonly version: number;
  readonly values: SettingValues;
  /** Changes the server has not confirmed; `updated_at` by the clock of this machine. */
  readonly pending: Readonly<Record<string, SettingChange>>;
}

export interface SettingsOptions {
  readonly account: Account;
  readonly store: Store;
  readonly locks: Locks;
  readonly clockSkew: () => number;
  readonly onConflict?: ConflictHook | undefined;
  /** Is told the settings when others changed them. */
  readonly onSettingsChange?: ((values: SettingValues) => void) | undefined;
}

/** Conflicts that come up while others are resolved are left to the next time after this many rounds. */
const ROUNDS = 3;

const toText = (setting: SettingChange | StandingSetting) => JSON.stringify('value' in setting ? setting.value : null);

/** Returns a record's own member: names are the person's, and may be those of what all objects inherit. */
const own = <T>(record: Readonly<Record<string, T>>, name: string) =>
  Object.hasOwn(record, name) ? record[name] : undefined;

/** Returns settings with changes applied. */
function apply(values: SettingValues, changes: Readonly<Record<string, SettingChange | StandingSetting>>) {
  const next = new Map(Object.entries(values));
  for (const [name, change] of Object.entries(changes)) {
    if ('value' in change && change.value !== undefined) next.set(name, change.value);
    else next.delete(name);
  }
  return Object.fromEntries(next);
}

/** Creates the copy of a person's settings that a storage keeps. */
export function createSettings({ account, store, locks, clockSkew, ...hooks }: SettingsOptions): Settings {
  /** Each person has their own: what was not sent yet must not reach the next one who signs in. */
  const toName = async () => `settings.${(await account.user())?.id ?? ''}`;
  const empty = (): State => ({ device: crypto.randomUUID(), version: 0, values: {}, pending: {} });
  const read = async () => (await store.read<State>(await toName())) ?? empty();
  const current = ({ values, pending }: State) => apply(values, pending);

  const edit = (change: (state: State) => State) =>
    locks.request('settings', async () => {
      const name = await toName();
      const next = change((await store.read<State>(name)) ?? empty());
      await store.write(name, next);
      return next;
    });

  const change = async (name: string, made: SettingChange) => {
    await edit((state) => {
      const updated_at = Math.max(made.updated_at, (own(state.pending, name)?.updated_at ?? 0) + 1);
      return { ...state, pending: { ...state.pending, [name]: { ...made, updated_at } } };
    });
  };

  /** Drops pending changes, unless they were made anew meanwhile, and takes over what the server has. */
  const settle = (settled: State['pending'], toServer: (state: State) => Partial<State> = () => ({})) =>
    edit((state) => {
      const isOpen = ([name, { updated_at }]: [string, SettingChange]) => own(settled, name)?.updated_at !== updated_at;
      const pending = Object.fromEntries(Object.entries(state.pending).filter(isOpen));
      return { ...state, ...toServer(state), pending };
    });

  /** Asks about each setting that was changed on both sides. */
  async function resolve(theirs: Readonly<Record<string, StandingSetting>>, mine: State['pending']): Promise<void> {
    for (const [name, standing] of Object.entries(theirs)) {
      const made = own(mine, name);
      if (!made || toText(made) === toText(standing)) continue;
      const resolution = (await hooks.onConflict?.({ name, mine: made, theirs: standing })) ?? 'newest';
      const later = { updated_at: Math.max(Date.now(), standing.updated_at - clockSkew() + 1) };
      if (resolution === 'mine') await change(name, { ...made, ...later });
      else if (typeof resolution === 'object') await change(name, { value: resolution.value, ...later });
      else if (resolution === 'theirs') await settle({ [name]: made });
    }
  }

  async function pull(): Promise<void> {
    const { version: since, pending } = await read();
    const pulled = await account.send(`/sync/pull?since=${since}`, {}, readJson<PulledSettings>);
    await resolve(pulled.changes, pending);
    const { full, changes, version } = pulled;
    await settle({}, ({ values }) => ({ version, values: apply(full ? {} : values, changes) }));
  }

  /** Sends what was changed here; returns whether conflicts left something to be sent again. */
  async function push(): Promise<boolean> {
    const { device, version, pending } = await read();
    if (Object.keys(pending).length === 0) return false;
    const toServerTime = ([name, made]: [string, SettingChange]) =>
      [name, { ...made, updated_at: made.updated_at + clockSkew() }] as const;
    const changes = Object.fromEntries(Object.entries(pending).map(toServerTime));
    const body: PushBody = { device, base_version: version, changes };
    const pushed = await account.send('/sync/push', { body }, readJson<PushedSettings>);
    await settle(pending, () => ({ version: pushed.version, values: pushed.settings }));
    await resolve(pushed.overruled, pending);
    return Object.keys((await read()).pending).length > 0;
  }

  return {
    get: async (name) => own(current(await read()), name),
    all: async () => current(await read()),
    set: (name, value) => change(name, { value, updated_at: Date.now() }),
    remove: (name) => change(name, { deleted: true, updated_at: Date.now() }),
    sync: () =>
      locks.request('settings-sync', async () => {
        const before = JSON.stringify(current(await read()));
        await pull();
        for (let round = 0; round < ROUNDS && (await push()); round += 1);
        const values = current(await read());
        if (JSON.stringify(values) !== before) hooks.onSettingsChange?.(values);
        return values;
      }),
  };
}
