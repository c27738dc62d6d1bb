import { type Static, Type } from '@sinclair/typebox';
import { TypeCompiler } from '@sinclair/typebox/compiler';
import type { FastifyInstance } from 'fastify';
import { hasLifetimeWithin, LifetimeSchema, SubjectSchema, TokenVersionSchema } from './claims.js';
import { verifyClientToken } from './client-tokens.js';
import { createWrongKindError } from './wrong-kind.js';

const LIFETIME_SECONDS = 365 * 24 * 60 * 60;
/** How long before its end a token is renewed, in seconds: the last quarter of its life. */
const RENEWAL_SECONDS = LIFETIME_SECONDS / 4;

const DeviceClaimsSchema = Type.Object({ aud: Type.Literal('device'), sub: SubjectSchema, ver: TokenVersionSchema });
const deviceClaims = TypeCompiler.Compile(Type.Composite([DeviceClaimsSchema, LifetimeSchema]));

/** A device that proved itself with its token; whether the token is still current is checked with each effect. */
export interface DeviceIdentity {
  readonly id: string;
  readonly tokenVersion: number;
}

/** What a device's token says. */
export interface DeviceToken extends DeviceIdentity {
  /** Whether so little is left of its life that the device should be given a new one. */
  readonly isEnding: boolean;
}

/** Signs the bearer token of a device, valid for a year or until its version changes. */
export function signDeviceToken(app: FastifyInstance, { id, tokenVersion }: DeviceIdentity): string {
  const claims: Static<typeof DeviceClaimsSchema> = { aud: 'device', sub: id, ver: tokenVersion };
  return app.jwt.sign(claims, { expiresIn: LIFETIME_SECONDS });
}

/** Returns what a device's token says. @throws {ApiError} INVALID_TOKEN for any other token */
export function verifyDeviceToken(app: FastifyInstance, token: string): DeviceToken {
  const device = parseDeviceToken(app, token);
  if (device === undefined) throw createWrongKindError(verifyClientToken(app, token), 'device');
  return device;
}

/**
 * Parses a device's token; undefined for a good token of another kind.
 * @throws {ApiError} INVALID_TOKEN for a token this server did not sign, or that has expired
 */
export function parseDeviceToken(app: FastifyInstance, token: string): DeviceToken | undefined {
  const claims = verifyClientToken(app, token);
  if (!deviceClaims.Check(claims) || !hasLifetimeWithin(claims, LIFETIME_SECONDS)) return undefined;
  const isEnding = claims.exp - Date.now() / 1_000 < RENEWAL_SECONDS;
  return { id: claims.sub, tokenVersion: claims.ver, isEnding };
}
