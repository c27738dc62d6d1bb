import { createHash, timingSafeEqual } from 'node:crypto';
import { type Static, Type } from '@sinclair/typebox';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { looksLikeApiKey } from '../../auth/api-keys/api-key.js';
import { isDeviceClaims } from '../../auth/guards/device-guard.js';
import { authenticateUser } from '../../auth/guards/user-guard.js';
import type { UserIdentity } from '../../auth/guards/user-identity.js';
import { bearerTokenOf } from '../../auth/tokens/bearer-token.js';
import { verifiedClaims } from '../../auth/tokens/client-tokens.js';
import type { Config } from '../../config/config.js';
import { callDatabase, type DatabaseClient } from '../../platform/database/client/client.js';
import { shapeOf } from '../../platform/database/client/shape.js';
import { ApiError } from '../../platform/errors.js';
import type { Services } from '../../services.js';
import type { RegisterDevice } from './schemas.js';

const RegistrationSchema = Type.Object({
  device_id: Type.String(),
  token_version: Type.Integer({ minimum: 1 }),
  created: Type.Boolean(),
  allocated: Type.Integer({ minimum: 0 }),
  remaining: Type.Integer({ minimum: 0 }),
  linked: Type.Optional(Type.Boolean()),
});
/** A device as registration found or made it; amounts in tokens. */
export type Registration = Static<typeof RegistrationSchema>;
const registrationOf = shapeOf(RegistrationSchema);

const digestOf = (text: string) => createHash('sha256').update(text).digest();

/**
 * Refuses devices the enrollment policy does not let in.
 * @throws {ApiError} ENROLLMENT_KEY_INVALID where a key is needed and the one sent is not it
 */
export function assertEnrollable(config: Config, enrollmentKey: string | undefined): void {
  if (config.DEVICE_ENROLLMENT !== 'key') return;
  const expected = digestOf(config.ENROLLMENT_KEY ?? '');
  if (enrollmentKey === undefined || !timingSafeEqual(digestOf(enrollmentKey), expected)) {
    throw new ApiError('ENROLLMENT_KEY_INVALID');
  }
}

/**
 * The person a registration comes from, where it brings a user's bearer. A device may send its own old token along:
 * that is nobody.
 * @throws {ApiError} INVALID_TOKEN for any other header
 */
export async function registrantOf(
  app: FastifyInstance,
  services: Services,
  request: FastifyRequest,
): Promise<UserIdentity | undefined> {
  if (request.headers.authorization === undefined) return undefined;
  const token = bearerTokenOf(request);
  if (!looksLikeApiKey(token) && isDeviceClaims(verifiedClaims(app, token))) return undefined;
  return authenticateUser(app, services, request);
}

/**
 * Registers a device, or finds it by its fingerprint; only a new one is given tokens. One that is nobody's yet is linked
 * to the registrant.
 * @throws {DatabaseFailure} DEVICE_BLOCKED, INVALID_TOKEN for a registrant whose session or key has ended, or when the
 *   database is out of reach
 */
export async function registerDevice(
  database: DatabaseClient,
  config: Config,
  device: RegisterDevice,
  registrant: UserIdentity | undefined,
): Promise<Registration> {
  return registrationOf(
    await callDatabase(() =>
      database.rpc('register_device', {
        p_device_name: device.device_name.trim(),
        p_fingerprint: device.hardware_fingerprint,
        p_default_tokens: config.DEVICE_ENROLLMENT === 'approval' ? 0 : config.DEFAULT_DEVICE_TOKENS,
        ...(registrant !== undefined && { p_caller: registrant }),
      }),
    ),
  );
}
