import { type Static, Type } from '@sinclair/typebox';

const Time = Type.Integer({ minimum: 0 });
/** When a client token was issued and when it expires, in seconds since 1970 (RFC 7519, §4.1.4 and §4.1.6). */
export const LifetimeSchema = Type.Object({ iat: Time, exp: Time });

/** How far the clocks of two servers may be apart, in seconds. */
const CLOCK_SKEW_SECONDS = 60;

/**
 * Whether a token's times are ones this server gives: not issued in the future, and not for longer than allowed.
 * A token that claims more was not made here, or under settings that hold no more.
 */
export function hasLifetimeWithin({ iat, exp }: Static<typeof LifetimeSchema>, seconds: number): boolean {
  return exp - iat <= seconds && iat - Date.now() / 1_000 <= CLOCK_SKEW_SECONDS;
}
