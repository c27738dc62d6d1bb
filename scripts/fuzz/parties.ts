import { randomUUID } from 'node:crypto';
import { type Static, type TSchema, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import type { FastifyInstance } from 'fastify';

/** Who sends a request. */
export type Party = 'nobody' | 'forger' | 'user' | 'device' | 'tracker' | 'admin' | 'api key';
export const PARTIES: readonly Party[] = ['nobody', 'forger', 'user', 'device', 'tracker', 'admin', 'api key'];

/** Marks what belongs to somebody else: only admins may ever see it. */
export const CANARY = 'canary-of-somebody-else';

/** The tokens of everybody, and ids that exist. */
export interface Parties {
  readonly tokens: Readonly<Record<Party, string | undefined>>;
  readonly ids: readonly string[];
}

const AccountSchema = Type.Object({ token: Type.String(), user: Type.Object({ id: Type.String() }) });
const DeviceSchema = Type.Object({ device_id: Type.String(), device_token: Type.String() });
const TokenSchema = Type.Object({ token: Type.String() });
const TrackerSchema = Type.Object({ sessionToken: Type.String() });
const KeySchema = Type.Object({ id: Type.String(), key: Type.String() });
const UseSchema = Type.Object({ id: Type.String() });

/** Opens accounts anew whenever they are asked for, as made-up requests end them. */
export function createParties(app: FastifyInstance, adminPassword: string) {
  const ask = async <Schema extends TSchema>(path: string, schema: Schema, body: object, token?: string) => {
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
    const answer = await app.inject({ method: 'POST', url: `/api${path}`, payload: body, headers });
    if (answer.statusCode >= 300) throw new Error(`${path} answered ${answer.statusCode}: ${answer.payload}`);
    const parsed: Static<Schema> = Value.Decode(schema, answer.json());
    return parsed;
  };

  const openPerson = async (mark: string) => {
    const email = `${mark}-${randomUUID()}@example.com`;
    const account = { email, password: randomUUID(), name: `${mark} name` };
    const { token, user } = await ask('/auth/register', AccountSchema, account);
    const installation = { device_name: `${mark} laptop`, hardware_fingerprint: randomUUID() };
    const device = await ask('/devices/register', DeviceSchema, installation, token);
    const { sessionToken: tracker } = await ask('/signup', TrackerSchema, { email });
    const key = await ask('/users/me/api-keys', KeySchema, { name: `${mark} key` }, token);
    const use = {
      ...{ provider: 'claude', model: `${mark} model`, inputTokens: 1, outputTokens: 2, timestamp: Date.now() },
      url: `https://example.com/${mark}`,
    };
    const { id: event } = await ask('/usage', UseSchema, use, token);
    const changes = { [`${mark} setting`]: { value: mark, updated_at: Date.now() } };
    await ask('/sync/push', Type.Unknown(), { base_version: 0, changes }, token);
    return {
      token,
      device: device.device_token,
      tracker,
      key: key.key,
      ids: [user.id, device.device_id, key.id, event],
    };
  };

  return async (): Promise<Parties> => {
    const [own, foreign] = [await openPerson('own'), await openPerson(CANARY)];
    const { token: admin } = await ask('/admin/login', TokenSchema, { username: 'admin', password: adminPassword });
    const tokens = {
      ...{ nobody: undefined, forger: `${own.token.slice(0, -4)}AAAA`, user: own.token, device: own.device },
      ...{ tracker: own.tracker, admin, 'api key': own.key },
    };
    return { tokens, ids: [...own.ids, ...foreign.ids, randomUUID()] };
  };
}
