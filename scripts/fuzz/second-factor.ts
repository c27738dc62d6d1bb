import { type Static, type TSchema, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import type { FastifyInstance } from 'fastify';
import { Secret, TOTP } from 'otpauth';

const SecretSchema = Type.Object({ secret: Type.String() });
const ChallengeSchema = Type.Object({ challenge: Type.String() });

/** Returns the code of a secret, as many steps of half a minute from now. */
export function toCode(secret: string, steps = 0): string {
  return new TOTP({ secret: Secret.fromBase32(secret) }).generate({ timestamp: Date.now() + steps * 30_000 });
}

/**
 * Begins to set up a second factor for somebody.
 * @returns what placeholders stand for: a code that confirms it
 */
export async function beginSecondFactor(app: FastifyInstance, token: string): Promise<{ totp: string }> {
  const headers = { authorization: `Bearer ${token}` };
  const begun = await app.inject({ method: 'POST', url: '/api/users/me/second-factor', headers });
  return { totp: toCode(Value.Decode(SecretSchema, begun.json()).secret) };
}

/**
 * Sets up a second factor for somebody.
 * @returns what placeholders stand for: a code of it, and a sign-in that waits for one
 */
export async function setUpSecondFactor(
  app: FastifyInstance,
  token: string,
  login: { readonly email: string; readonly password: string },
): Promise<{ totp: string; challenge: string }> {
  const ask = async <Schema extends TSchema>(url: string, schema: Schema, payload: object): Promise<Static<Schema>> => {
    const headers = { authorization: `Bearer ${token}` };
    return Value.Decode(schema, (await app.inject({ method: 'POST', url, headers, payload })).json());
  };
  const { secret } = await ask('/api/users/me/second-factor', SecretSchema, {});
  await ask('/api/users/me/second-factor/confirm', Type.Unknown(), { totp: toCode(secret, -1) });
  const { challenge } = await ask('/api/auth/login', ChallengeSchema, login);
  return { totp: toCode(secret), challenge };
}
