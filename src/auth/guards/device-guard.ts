import { type Static, Type } from '@sinclair/typebox';
import { TypeCompiler } from '@sinclair/typebox/compiler';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { ApiError } from '../../platform/errors.js';
import { describeRoutes } from '../../platform/http/route-defaults.js';
import { parseBearerToken } from '../tokens/bearer-token.js';
import { SubjectSchema, TokenVersionSchema } from '../tokens/claim-schemas.js';
import { verifyClientToken } from '../tokens/client-tokens.js';

const DeviceClaimsSchema = Type.Object({
  aud: Type.Literal('device'),
  sub: SubjectSchema,
  ver: TokenVersionSchema,
});
const deviceClaims = TypeCompiler.Compile(DeviceClaimsSchema);
const LIFETIME = '365d';

/** Tells whether verified claims are a device's. */
export function isDeviceClaims(claims: unknown): boolean {
  return deviceClaims.Check(claims);
}

/** A device that proved itself with its token; whether the token is still current is checked with each effect. */
export interface DeviceIdentity {
  readonly id: string;
  readonly tokenVersion: number;
}

/** Signs the bearer token of a device, valid for a year or until its version changes. */
export function signDeviceToken(app: FastifyInstance, device: DeviceIdentity): string {
  const claims: Static<typeof DeviceClaimsSchema> = { aud: 'device', sub: device.id, ver: device.tokenVersion };
  return app.jwt.sign(claims, { expiresIn: LIFETIME });
}

/** Returns the device a guarded request comes from. */
export function getDevice(request: FastifyRequest): DeviceIdentity {
  return request.getDecorator<DeviceIdentity>('device');
}

/** Guards every route of the scope: only requests with a device token pass, others get 401. */
export function requireDevice(scope: FastifyInstance): void {
  describeRoutes(scope, { security: [{ deviceToken: [] }] });
  scope.decorateRequest('device');
  scope.addHook('onRequest', async (request) => {
    const claims = verifyClientToken(scope, parseBearerToken(request));
    if (!deviceClaims.Check(claims)) throw new ApiError('INVALID_TOKEN');
    request.setDecorator<DeviceIdentity>('device', { id: claims.sub, tokenVersion: claims.ver });
  });
}
