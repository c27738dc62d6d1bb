import { type Static, Type } from '@sinclair/typebox';
import { BudgetSchema } from '../budget/budget-schemas.js';
import { DevicesQuerySchema } from '../devices/device-list-schemas.js';
import { TierSchema } from '../users/account-schemas.js';
import { AccountsQuerySchema } from '../users/user-schemas.js';
import { ChangeDevicesSchema, ChangedManySchema, ChangeUsersSchema } from './bulk-schemas.js';

const NullableText = Type.Union([Type.String(), Type.Null()]);
const STRICT = { additionalProperties: false };
const MATCHING = ['q', 'filter'] as const;

export const BeginDevicesChangeSchema = Type.Composite(
  [Type.Pick(DevicesQuerySchema, MATCHING), Type.Omit(ChangeDevicesSchema, ['device_ids', 'preview'])],
  STRICT,
);
export const BeginUsersChangeSchema = Type.Composite(
  [Type.Pick(AccountsQuerySchema, MATCHING), Type.Omit(ChangeUsersSchema, ['user_ids', 'preview'])],
  STRICT,
);
/** What is to be done, and to all that match what. */
export type BeginChange = Static<typeof BeginDevicesChangeSchema> | Static<typeof BeginUsersChangeSchema>;

const Kind = Type.Union([Type.Literal('device'), Type.Literal('user')]);

const BulkChangeFields = {
  id: Type.String({ format: 'uuid' }),
  kind: Kind,
  query: NullableText,
  filter: NullableText,
  change: Type.Object({
    action: Type.String(),
    tokens: Type.Optional(Type.Integer()),
    tier: Type.Optional(TierSchema),
    api_keys: Type.Optional(Type.Boolean()),
  }),
  created_by: Type.String(),
  created_at: Type.String(),
  state: Type.Union([Type.Literal('preview'), Type.Literal('running'), Type.Literal('done'), Type.Literal('stopped')], {
    description: 'preview: nothing was done yet; running: some is done, and it can be continued.',
  }),
  runs: Type.Boolean({
    description: 'Whether the server does the rest by itself. Where it does not, a change that is running is paused.',
  }),
  ended_at: Type.Union([Type.String(), Type.Null()], {
    description: 'When the last one was changed, or it was stopped.',
  }),
  matched: Type.Integer({ description: 'How many matched when it was begun; nobody else is changed.' }),
  changed: Type.Integer(),
  skipped: Type.Integer({ description: 'How many did not match any more when it was their turn.' }),
  refused: Type.Integer(),
  refusals: Type.Array(Type.Object({ code: Type.String(), count: Type.Integer() }), {
    description: 'Why, and how many of them.',
  }),
  left: Type.Integer({ description: 'Whose turn is yet to come.' }),
};

export const BulkChangeSchema = Type.Object(BulkChangeFields, { title: 'BulkChange' });
export const BulkChangeListSchema = Type.Array(BulkChangeSchema);

export const BegunBulkChangeSchema = Type.Object(
  {
    ...BulkChangeFields,
    preview: Type.Object({
      sample: Type.Index(ChangedManySchema, ['items']),
      balances: Type.Object(
        {
          allocated: Type.Integer(),
          remaining: Type.Integer(),
          short: Type.Integer({ description: 'How many have fewer tokens left than are taken back from each.' }),
        },
        { description: 'What all of them have together.' },
      ),
      pool: BudgetSchema,
    }),
  },
  { title: 'BegunBulkChange' },
);

export const BulkChangeParamsSchema = Type.Object({ id: Type.String({ format: 'uuid' }) });
export const BulkChangesQuerySchema = Type.Object({ kind: Type.Optional(Kind) }, STRICT);
export const BulkChangesSchema = Type.Object({
  bulk_changes: Type.Array(BulkChangeSchema, { description: 'The twenty newest that did something.' }),
});
