import { randomUUID } from 'node:crypto';
import { sendWith, type TestUser } from './accounts.js';
import type { TestServer } from './http/test-server.js';

/** The answer to a registration. */
export interface Registration {
  readonly device_id: string;
  readonly device_token: string;
  readonly allocation: number;
  readonly remaining: number;
  readonly linked?: boolean;
}

/** What a client may show for a device it had before. */
export interface Proof {
  readonly device_token?: string;
  readonly device_secret?: string;
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
  proof: Proof = {},
) {
  const payload = { device_name: 'Laptop', hardware_fingerprint: fingerprint, ...proof };
  return sendWith(server, token, 'POST', `${prefix}/devices/register`, payload);
}

/** Registers a device and returns what was answered. */
export async function registrationOf(
  server: TestServer,
  token: string | undefined,
  fingerprint: string,
  proof: Proof = {},
): Promise<Registration> {
  return (await registerWith(server, token, fingerprint, '/api', proof)).json<Registration>();
}

/** Returns the ids of a person's devices, as the API lists them. */
export async function listDevices(user: TestUser): Promise<string[]> {
  const { devices } = (await user.as('GET', '/api/users/me/devices?limit=200')).json<DevicePage>();
  return devices.map(({ id }) => id);
}
