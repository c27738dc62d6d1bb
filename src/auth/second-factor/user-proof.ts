import { type Static, Type } from '@sinclair/typebox';
import type { AccountNotices } from '../notices.js';
import { type SecondFactorProof, toProof } from './totp.js';

/** What codes of a person's second factor are checked against; it asks nobody for a code before it is confirmed. */
export const UserFactorSchema = Type.Object({ id: Type.String(), secret: Type.String(), confirmed: Type.Boolean() });
export type UserFactor = Static<typeof UserFactorSchema>;

/** What SQL is given to check: what proves the factor with this id, and the sealed notice of a recovery code's use. */
export type UserProof = SecondFactorProof & { readonly factor_id: string; readonly notice?: string };

/**
 * Makes the database call that checks a code. The owner is told where a recovery code is used up.
 * @param call makes the call, given the proof
 */
export function proveWith<T>(
  notices: AccountNotices,
  { id: factor_id, secret }: UserFactor,
  code: string,
  call: (proof: UserProof) => Promise<T>,
): Promise<T> {
  const proof = { factor_id, ...toProof(secret, code) };
  if ('step' in proof) return call(proof);
  return notices.post('recovery_code_used', ({ p_notice }) =>
    call(p_notice === undefined ? proof : { ...proof, notice: p_notice }),
  );
}
