import type { Static } from '@sinclair/typebox';
import type { AccountSchema } from '../../../features/admin/users/account-schemas.js';
import type { Subject } from '../moves/balance.js';

/** An account, as admins see it. */
export type Person = Static<typeof AccountSchema>;

/** Returns an account's balance as dialogs speak of it. */
export function toSubject({ id, email, total_tokens, tokens_left }: Person): Subject {
  return { kind: 'user', id, name: email, allocated: total_tokens, remaining: tokens_left };
}
