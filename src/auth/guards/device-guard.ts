import { type Static, Type } from '@sinclair/typebox';
import { TypeCompiler } from '@sinclair/typebox/compiler';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { ApiError } from '../../platform/errors.js';
import { bearerTokenOf } from '../tokens/bearer-token.js';
import { SubjectSchema, TokenVersionSchema } from '../tokens/claim-schemas.js';
import { verifiedClaims } from '../tokens/client-tokens.js';

const DeviceClaimsSchema = Type.Object({
  aud: Type.Literal('device'),
  sub: SubjectSchema,
  ver: TokenVersionSchema,
});
const claimsOfDevice = TypeCompiler.Compile(DeviceClaimsSchema);
const LIFETIME = '365d';

/** Whether verified claims are a device's. */
export function isDeviceClaims(claims: unknown): boolean {
  return claimsOfDevice.Check(claims);
}

/** A device that proved itself with its token; whether the token is still current is checked with each effect. */
export interface DeviceIdentity {
  readonly id: string;
  readonly tokenVersion: number;
}

/** Makes the bearer token of a device, valid for a year or until its version changes. */
export function issueDeviceToken(app: FastifyInstance, device: DeviceIdentity): string {
  const claims: Static<typeof DeviceClaimsSchema> = { aud: 'device', sub: device.id, ver: device.tokenVersion };
  return app.jwt.sign(claims, { expiresIn: LIFETIME });
}

/** The device a guarded request comes from. */
export function deviceOf(request: FastifyRequest): DeviceIdentity {
  return request.getDecorator<DeviceIdentity>('device');
}

/** Guards every route of the scope: only requests with a device token pass, others get 401. */
export function requireDevice(app: FastifyInstance): void {
  app.decorateRequest('device');
  app.addHook('onRequest', async (request) => {
    const claims = verifiedClaims(app, bearerTokenOf(request));
    if (!claimsOfDevice.Check(claims)) throw new ApiError('INVALID_TOKEN');
    request.setDecorator<DeviceIdentity>('device', { id: claims.sub, tokenVersion: claims.ver });
  });
}
