import { createHash, timingSafeEqual } from 'node:crypto';
import { type Static, Type } from '@sinclair/typebox';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { looksLikeApiKey } from '../../auth/api-keys/api-key.js';
import { parseBearerToken } from '../../auth/guards/bearer.js';
import { authenticateUser } from '../../auth/guards/user-authentication.js';
import { sha256Hex } from '../../auth/tokens/crypto.js';
import { type DeviceIdentity, parseDeviceToken } from '../../auth/tokens/device-tokens.js';
import type { Config } from '../../config/config.js';
import type { Caller } from '../../platform/database/client/caller.js';
import type { Database } from '../../platform/database/client/database.js';
import { ApiError } from '../../platform/errors.js';
import type { RegisterDevice } from './schemas.js';

const RegistrationSchema = Type.Object({
  device_id: Type.String(),
  token_version: Type.Integer({ minimum: 1 }),
  created: Type.Boolean(),
  allocated: Type.Integer({ minimum: 0 }),
  remaining: Type.Integer({ minimum: 0 }),
  linked: Type.Optional(Type.Boolean()),
});
/** A device as registration found or created it; amounts in tokens. */
export type Registration = Static<typeof RegistrationSchema>;

const sha256 = (text: string) => createHash('sha256').update(text).digest();

/**
 * Rejects devices the enrollment policy does not let in.
 * @throws {ApiError} ENROLLMENT_KEY_INVALID where a key is needed and another one, or none, was sent
 */
export function requireEnrollment(config: Config['devices'], sentKey: string | undefined): void {
  if (config.enrollment !== 'key') return;
  const expected = sha256(config.enrollmentKey ?? '');
  if (sentKey === undefined || !timingSafeEqual(sha256(sentKey), expected))
    throw new ApiError('ENROLLMENT_KEY_INVALID');
}

/** Who registers a device: a person, and the device itself where it shows a token it was given before. */
export interface Registrant {
  readonly caller?: Caller | undefined;
  readonly device?: DeviceIdentity | undefined;
}

/** Parses a token a client still had; one that is over or was never ours proves nothing and does no harm. */
function parseEarlierToken(app: FastifyInstance, token: string | undefined): DeviceIdentity | undefined {
  try {
    return token === undefined ? undefined : parseDeviceToken(app, token);
  } catch {
    return undefined;
  }
}

/**
 * Returns who registers a device. The bearer token is a user's or one of the device's own.
 * @param earlierToken a token of the device beside a user's bearer
 * @throws {ApiError} INVALID_TOKEN for any other header, INSUFFICIENT_SCOPE for an API key that is not for the account
 */
export async function authenticateRegistrant(
  app: FastifyInstance,
  request: FastifyRequest,
  earlierToken: string | undefined,
): Promise<Registrant> {
  const earlier = { device: parseEarlierToken(app, earlierToken) };
  if (request.headers.authorization === undefined) return earlier;
  const bearer = parseBearerToken(request);
  const device = looksLikeApiKey(bearer) ? undefined : parseDeviceToken(app, bearer);
  return device === undefined ? { ...earlier, caller: await authenticateUser(app, request, 'account') } : { device };
}

/**
 * Registers a device, or finds it again; only a new one is granted tokens. A person's registration is linked to them.
 * @throws {DatabaseError} DEVICE_BLOCKED, DEVICE_LIMIT, DEVICE_SECRET_INVALID, INVALID_TOKEN for a person whose session
 *   or key has ended, or when the database cannot be reached
 */
export function registerDevice(
  database: Database,
  config: Config['devices'],
  body: RegisterDevice,
  { caller, device }: Registrant,
): Promise<Registration> {
  const registration = {
    p_device_name: body.device_name.trim(),
    p_fingerprint: body.hardware_fingerprint,
    p_default_tokens: config.defaultTokens,
    ...(caller !== undefined && { p_caller: caller }),
    ...(body.device_secret !== undefined && { p_secret_hash: sha256Hex(body.device_secret) }),
    ...(device !== undefined && { p_token: { id: device.id, version: device.tokenVersion } }),
  };
  return database.call('register_device', registration, RegistrationSchema);
}
