import { type Static, Type } from '@sinclair/typebox';
import { SubjectBalanceSchema } from '../budget/allocation-schemas.js';
import { BudgetSchema } from '../budget/budget-schemas.js';
import { TierSchema } from '../users/account-schemas.js';

const MAX_TOKENS = 1_000_000_000_000;
const STRICT = { additionalProperties: false };
const Ids = Type.Array(Type.String({ format: 'uuid' }), { minItems: 1, maxItems: 500, uniqueItems: true });
const Preview = Type.Boolean({ default: false, description: 'Only tells what would come of it.' });
const Tokens = Type.Integer({
  minimum: -MAX_TOKENS,
  maximum: MAX_TOKENS,
  description: 'With allocate: tokens to add to each; a negative number takes unused ones back.',
});

export const ChangeDevicesSchema = Type.Object(
  {
    device_ids: Ids,
    action: Type.Union([
      Type.Literal('block'),
      Type.Literal('unblock'),
      Type.Literal('rotate'),
      Type.Literal('remove'),
      Type.Literal('allocate'),
    ]),
    tokens: Type.Optional(Tokens),
    preview: Preview,
  },
  STRICT,
);

export const ChangeUsersSchema = Type.Object(
  {
    user_ids: Ids,
    action: Type.Union([
      Type.Literal('suspend'),
      Type.Literal('unsuspend'),
      Type.Literal('end_sessions'),
      Type.Literal('plan'),
      Type.Literal('allocate'),
    ]),
    tokens: Type.Optional(Tokens),
    tier: Type.Optional(TierSchema),
    api_keys: Type.Optional(Type.Boolean({ description: 'With end_sessions: whether API keys end as well.' })),
    preview: Preview,
  },
  STRICT,
);

const NullableBalance = Type.Union([SubjectBalanceSchema, Type.Null()]);

/** What is done to each of many; which fields it needs depends on the action. */
export type Change = Partial<Pick<Static<typeof ChangeUsersSchema>, 'tokens' | 'tier' | 'api_keys'>> & {
  readonly action: string;
};

export const ChangedManySchema = Type.Object({
  applied: Type.Boolean({ description: 'Whether it was done; a preview does nothing.' }),
  refused: Type.Integer({ description: 'Of how many it would be refused: then it is done to none.' }),
  items: Type.Array(
    Type.Object({
      id: Type.String(),
      name: Type.Union([Type.String(), Type.Null()]),
      before: NullableBalance,
      after: NullableBalance,
      entry: Type.Union([Type.String({ description: 'The ledger entry that was written.' }), Type.Null()]),
      code: Type.Union([Type.String({ description: 'Why it is refused.' }), Type.Null()]),
    }),
  ),
  pool: Type.Object({ before: BudgetSchema, after: BudgetSchema }),
});
