import { type Static, Type } from '@sinclair/typebox';

/** The id a client token is about: a UUID, as Postgres writes it. */
export const SubjectSchema = Type.String({ pattern: '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' });

/** The version a token was made for, a Postgres integer; raising it ends the token. */
export const TokenVersionSchema = Type.Integer({ minimum: 1, maximum: 2_147_483_647 });

/** The subject of a token, with the version of its row the token was made for. */
export interface VersionedSubject {
  readonly id: string;
  readonly version: number;
}

const TimeSchema = Type.Integer({ minimum: 0 });
/** When a client token was issued and when it expires, in seconds since 1970 (RFC 7519, §4.1.4 and §4.1.6). */
export const LifetimeSchema = Type.Object({ iat: TimeSchema, exp: TimeSchema });

/** Largest difference between the clocks of two servers, in seconds. */
const CLOCK_SKEW_SECONDS = 60;

/**
 * Returns whether a token's times are ones this server gives: not issued in the future, and not for longer than allowed.
 * A token that claims more was not made here, or was made under earlier settings.
 */
export function hasLifetimeWithin({ iat, exp }: Static<typeof LifetimeSchema>, seconds: number): boolean {
  return exp - iat <= seconds && iat - Date.now() / 1_000 <= CLOCK_SKEW_SECONDS;
}
