import { randomUUID } from 'node:crypto';
import { sendWith, type TestUser } from './accounts.js';
import type { TestServer } from './http/test-server.js';

/** The answer to a registration. */
export interface Registration {
  readonly device_id: string;
  readonly device_token: string;
  readonly linked?: boolean;
}

/** A page of a person's devices. */
export interface DevicePage {
  readonly devices: { readonly id: string; readonly created_at: string }[];
  readonly next_cursor: string | null;
}

/** Registers a device with a bearer token, or without any; by default a new one. */
export function registerWith(
  server: TestServer,
  token: string | undefined,
  fingerprint: string = randomUUID(),
  prefix = '/api',
) {
  const payload = { device_name: 'Laptop', hardware_fingerprint: fingerprint };
  return sendWith(server, token, 'POST', `${prefix}/devices/register`, payload);
}

/** Returns the ids of a person's devices, as the API lists them. */
export async function listDevices(user: TestUser): Promise<string[]> {
  const { devices } = (await user.as('GET', '/api/users/me/devices?limit=200')).json<DevicePage>();
  return devices.map(({ id }) => id);
}
