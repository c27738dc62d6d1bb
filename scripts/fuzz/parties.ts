import { randomUUID } from 'node:crypto';
import { type Static, type TSchema, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { beginSecondFactor, setUpSecondFactor, toCode } from './second-factor.js';
import type { FuzzStage } from './stage.js';

/** Who sends a request. */
export type Party = 'nobody' | 'forger' | 'user' | 'device' | 'tracker' | 'admin' | 'api key';
export const PARTIES: readonly Party[] = ['nobody', 'forger', 'user', 'device', 'tracker', 'admin', 'api key'];

/** Marks what belongs to somebody else: only admins may ever see it. */
export const CANARY = 'canary-of-somebody-else';

/** The tokens of everybody, and what placeholders stand for. */
export interface Parties {
  readonly tokens: Readonly<Record<Party, string | undefined>>;
  readonly known: ReadonlyMap<string, string>;
}

/** Ids that exist, one's own and somebody else's, and one that does not. */
export const IDS: readonly string[] = [
  ...['__user__', '__device__', '__key__', '__event__', '__session__', '__fresh_id__'],
  ...['__foreign_user__', '__foreign_device__', '__foreign_key__', '__foreign_event__'],
];

const AccountSchema = Type.Object({
  token: Type.String(),
  refresh_token: Type.String(),
  user: Type.Object({ id: Type.String() }),
});
const DeviceSchema = Type.Object({ device_id: Type.String(), device_token: Type.String() });
const TokenSchema = Type.Object({ token: Type.String() });
const TrackerSchema = Type.Object({ sessionToken: Type.String() });
const KeySchema = Type.Object({ id: Type.String(), key: Type.String() });
const IdSchema = Type.Object({ id: Type.String() });
const SessionsSchema = Type.Object({ sessions: Type.Array(IdSchema, { minItems: 1 }) });
const MovedSchema = Type.Object({ entries: Type.Array(IdSchema, { minItems: 1 }) });
const SecondFactorSchema = Type.Object({ secret: Type.String() });

/** Opens accounts anew whenever they are asked for, as made-up requests end them. */
export function createParties({ app, adminPassword, mailbox }: FuzzStage) {
  const send = async <Schema extends TSchema>(
    method: 'GET' | 'POST',
    path: string,
    schema: Schema,
    body?: object,
    token?: string,
  ): Promise<Static<Schema>> => {
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
    const answer = await app.inject({
      method,
      url: `/api${path}`,
      headers,
      ...(body !== undefined && { payload: body }),
    });
    if (answer.statusCode >= 300) throw new Error(`${path} answered ${answer.statusCode}: ${answer.payload}`);
    return Value.Decode(schema, answer.json());
  };
  const ask = <Schema extends TSchema>(path: string, schema: Schema, body: object, token?: string) =>
    send('POST', path, schema, body, token);

  const openPerson = async (mark: string) => {
    const email = `${mark}-${randomUUID()}@example.com`;
    const [password, name] = [randomUUID(), `${mark} name`];
    const { token, refresh_token, user } = await ask('/auth/register', AccountSchema, { email, password, name });
    const installation = { device_name: `${mark} laptop`, hardware_fingerprint: randomUUID() };
    const device = await ask('/devices/register', DeviceSchema, installation, token);
    const { sessionToken: tracker } = await ask('/signup', TrackerSchema, { email });
    const key = await ask('/users/me/api-keys', KeySchema, { name: `${mark} key`, scopes: ['account'] }, token);
    const use = {
      ...{ provider: 'claude', model: `${mark} model`, inputTokens: 1, outputTokens: 2, timestamp: Date.now() },
      url: `https://example.com/${mark}`,
    };
    const { id: event } = await ask('/usage', IdSchema, use, token);
    const changes = { [`${mark} setting`]: { value: mark, updated_at: Date.now() } };
    await ask('/sync/push', Type.Unknown(), { base_version: 0, changes }, token);
    return {
      tokens: { user: token, device: device.device_token, tracker, 'api key': key.key },
      known: { email, password, refresh_token, user: user.id, device: device.device_id, key: key.id, event },
    };
  };

  /** Opens an admin of its own, as made-up requests change passwords and end sessions. */
  const openAdmin = async () => {
    const login = { username: 'admin', password: adminPassword };
    const { token: root } = await ask('/admin/login', TokenSchema, login);
    const own = { username: `a${randomUUID().slice(0, 18)}`, password: randomUUID() };
    await ask('/admin/admins', IdSchema, { ...own, role: 'owner' }, root);
    const other = { username: `b${randomUUID().slice(0, 18)}`, password: randomUUID(), role: 'viewer' };
    const { id: other_admin } = await ask('/admin/admins', IdSchema, other, root);
    const { token } = await ask('/admin/login', TokenSchema, own);
    return { token, known: { admin_name: own.username, admin_password: own.password, other_admin } };
  };

  /** Finds out what only some operations need, and what takes time to find out. */
  const prepare = async (
    operationId: string,
    { email, password, device }: { email: string; password: string; device: string },
    user: string,
    admin: string,
    adminPassword: string,
  ) => {
    const login = { email, password };
    switch (operationId) {
      case 'endSession':
      case 'endUserSession':
        return { session: (await send('GET', '/auth/sessions', SessionsSchema, undefined, user)).sessions[0]?.id };
      case 'endAdminSession': {
        const [session] = await send('GET', '/admin/sessions', Type.Array(IdSchema), undefined, admin);
        return { admin_session: session?.id };
      }
      case 'deleteInvitation':
        return { invitation: (await ask('/admin/invitations', IdSchema, {}, admin)).id };
      case 'getBulkChange':
      case 'stopBulkChange':
      case 'continueBulkChange':
      case 'runBulkChange':
      case 'pauseBulkChange': {
        const change = { q: device, action: 'allocate', tokens: 1 };
        return { bulk_change: (await ask('/admin/devices/bulk-changes', IdSchema, change, admin)).id };
      }
      case 'undoEntry': {
        const { entries } = await ask('/admin/allocate', MovedSchema, { device_id: device, tokens: 1 }, admin);
        return { entry: entries[0]?.id };
      }
      case 'verifyEmail':
        await ask('/auth/verify-email/resend', Type.Unknown(), { email });
        return { mail_token: await mailbox.findToken(email, 'verify-email') };
      case 'resetPassword':
        await ask('/auth/forgot-password', Type.Unknown(), { email });
        return { mail_token: await mailbox.findToken(email, 'reset-password') };
      case 'confirmMySecondFactor':
        return beginSecondFactor(app, user);
      case 'renewMyRecoveryCodes':
      case 'removeMySecondFactor':
      case 'removeUserSecondFactor':
      case 'finishSignIn':
        return setUpSecondFactor(app, user, login);
      case 'confirmSecondFactor': {
        const body = { current_password: adminPassword };
        const { secret } = await ask('/admin/second-factor', SecondFactorSchema, body, admin);
        return { totp: toCode(secret) };
      }
      default:
        return {};
    }
  };

  return async (operationId: string): Promise<Parties> => {
    const [own, foreign, admin] = [await openPerson('own'), await openPerson(CANARY), await openAdmin()];
    const more = await prepare(operationId, own.known, own.tokens.user, admin.token, admin.known.admin_password);
    const forger = `${own.tokens.user.slice(0, -4)}AAAA`;
    const known = new Map<string, string>([...Object.entries(own.known), ...Object.entries(admin.known)]);
    known.set('device_token', own.tokens.device);
    for (const name of ['user', 'device', 'key', 'event'] as const) known.set(`foreign_${name}`, foreign.known[name]);
    for (const [name, value] of Object.entries(more)) if (value !== undefined) known.set(name, value);
    return { tokens: { ...own.tokens, nobody: undefined, forger, admin: admin.token }, known };
  };
}
