import { Type } from '@sinclair/typebox';
import { TypeCompiler } from '@sinclair/typebox/compiler';
import { ApiError } from '../../platform/errors.js';

/** What each kind of client token is called, by its audience. */
const KINDS = {
  user: "a person's access token",
  device: "a device's token",
  admin: "an admin's token",
  tracker: "a tracker's token",
} as const;
type Kind = keyof typeof KINDS;

const audience = TypeCompiler.Compile(Type.Object({ aud: Type.String() }));

function isKind(name: string): name is Kind {
  return Object.hasOwn(KINDS, name);
}

/**
 * Returns the refusal of a token whose signature and lifetime are good and which is not what a route needs: it says so
 * where the token is of another kind. Nobody learns anything by it who does not hold the token.
 */
export function createWrongKindError(
  claims: unknown,
  needed: Kind,
  code: 'INVALID_TOKEN' | 'TRACKER_TOKEN_INVALID' = 'INVALID_TOKEN',
) {
  const kind = audience.Check(claims) && isKind(claims.aud) ? claims.aud : needed;
  if (kind === needed) return new ApiError(code);
  return new ApiError(code, { sentence: `This is ${KINDS[kind]}; ${KINDS[needed]} is needed here` });
}
