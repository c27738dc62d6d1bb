import { createHash, timingSafeEqual } from 'node:crypto';
import { type Static, Type } from '@sinclair/typebox';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { looksLikeApiKey } from '../../auth/api-keys/api-key.js';
import { parseBearerToken } from '../../auth/guards/bearer.js';
import { isDeviceToken } from '../../auth/guards/device-guard.js';
import { authenticateUser } from '../../auth/guards/user-authentication.js';
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

/**
 * Returns the person a registration comes from, if it brings a user's bearer token. A device may send its own old
 * token along; it stands for nobody.
 * @throws {ApiError} INVALID_TOKEN for any other header, INSUFFICIENT_SCOPE for an API key that is not for the account
 */
export async function findRegistrant(app: FastifyInstance, request: FastifyRequest): Promise<Caller | undefined> {
  if (request.headers.authorization === undefined) return undefined;
  const token = parseBearerToken(request);
  if (!looksLikeApiKey(token) && isDeviceToken(app, token)) return undefined;
  return authenticateUser(app, request, 'account');
}

/**
 * Registers a device, or finds it by its fingerprint; only a new one is granted tokens. One that belongs to nobody yet
 * is linked to the registrant.
 * @throws {DatabaseError} DEVICE_BLOCKED, INVALID_TOKEN for a registrant whose session or key has ended, or when the
 *   database cannot be reached
 */
export function registerDevice(
  database: Database,
  config: Config['devices'],
  device: RegisterDevice,
  registrant: Caller | undefined,
): Promise<Registration> {
  const registration = {
    p_device_name: device.device_name.trim(),
    p_fingerprint: device.hardware_fingerprint,
    p_default_tokens: config.defaultTokens,
    ...(registrant !== undefined && { p_caller: registrant }),
  };
  return database.call('register_device', registration, RegistrationSchema);
}
