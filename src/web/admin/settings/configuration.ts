import { api } from '../session.js';

/** Something the server can do, and the variables without which it does not. */
export interface Capability {
  readonly name: string;
  readonly on: boolean;
  readonly missing: readonly string[];
}

export interface Setting {
  readonly name: string;
  readonly description: string;
  readonly set: boolean;
  readonly value: string | null;
  readonly hidden: boolean;
}

/** What the server is set up to do. */
export interface Configuration {
  readonly capabilities: readonly Capability[];
  readonly sections: readonly { readonly name: string; readonly settings: readonly Setting[] }[];
}

/** Asks what the server is set up to do. */
export const loadConfiguration = (signal?: AbortSignal): Promise<Configuration> =>
  api.get<Configuration>('admin/configuration', {}, signal);
