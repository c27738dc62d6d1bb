import type { FastifyInstance, FastifyRequest } from 'fastify';
import { createVersionedTokens } from '../tokens/versioned-tokens.js';
import { parseBearerToken, requireBearer } from './bearer.js';

const deviceTokens = createVersionedTokens('device');
const DEVICE = 'device';
const LIFETIME = '365d';

/** A device that proved itself with its token; whether the token is still current is checked with each effect. */
export interface DeviceIdentity {
  readonly id: string;
  readonly tokenVersion: number;
}

/** Signs the bearer token of a device, valid for a year or until its version changes. */
export function signDeviceToken(app: FastifyInstance, { id, tokenVersion: version }: DeviceIdentity): string {
  return deviceTokens.sign(app, { id, version }, LIFETIME);
}

/**
 * Returns whether a client token is a device's, and not a user's, a tracker's or an admin's.
 * @throws {ApiError} INVALID_TOKEN for a token this server did not sign, or that has expired
 */
export function isDeviceToken(app: FastifyInstance, token: string): boolean {
  return deviceTokens.parse(app, token) !== undefined;
}

/** Returns the device a guarded request comes from. */
export function getDevice(request: FastifyRequest): DeviceIdentity {
  return request.getDecorator<DeviceIdentity>(DEVICE);
}

/** Guards every route of the scope: only requests with a device token pass, others get 401. */
export function requireDevice(scope: FastifyInstance): void {
  requireBearer<DeviceIdentity>(scope, {
    scheme: 'deviceToken',
    decorator: DEVICE,
    authenticate: (request) => {
      const { id, version } = deviceTokens.verify(scope, parseBearerToken(request));
      return { id, tokenVersion: version };
    },
    toSubjects: ({ id }) => [{ kind: 'device', id }],
  });
}
