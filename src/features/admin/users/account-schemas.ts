import { Type } from '@sinclair/typebox';
import { ApiKeySchema } from '../../../auth/api-keys/schemas.js';
import { UserSchema } from '../../../auth/user-schema.js';
import { OneOf } from '../../../platform/http/one-of.js';
import { NextCursor } from '../../../platform/http/pagination.js';

const NullableText = Type.Union([Type.String(), Type.Null()]);
const TierSchema = Type.Union([Type.Literal('free'), Type.Literal('pro'), Type.Literal('premium')]);

export const AccountParamsSchema = Type.Object({ id: Type.String({ format: 'uuid' }) });

export const AccountSchema = Type.Composite(
  [
    UserSchema,
    Type.Object({
      email_verified: Type.Boolean(),
      suspended_at: NullableText,
      tier: TierSchema,
      devices: Type.Integer({ description: 'Linked devices.' }),
      sessions: Type.Integer({ description: 'Running sessions.' }),
      api_keys: Type.Integer(),
    }),
  ],
  { title: 'Account' },
);

export const SuspendAccountSchema = Type.Object({ suspended: Type.Boolean() }, { additionalProperties: false });

export const EndAccountSessionsSchema = Type.Object(
  { api_keys: Type.Boolean({ default: false, description: 'Whether its API keys end as well.' }) },
  { additionalProperties: false },
);

export const EndedAccountSessionsSchema = Type.Object({
  ended: Type.Integer({ description: 'Sessions that ended.' }),
  api_keys: Type.Integer({ description: 'API keys that ended.' }),
});

const AccountDeviceSchema = Type.Object(
  {
    id: Type.String({ format: 'uuid' }),
    name: Type.String(),
    blocked: Type.Boolean(),
    registrations: Type.Integer(),
    last_registered_at: Type.String(),
    created_at: Type.String(),
    allocated: Type.Integer(),
    used: Type.Integer(),
    remaining: Type.Integer(),
  },
  { title: 'Device' },
);
export const AccountDeviceListSchema = Type.Array(AccountDeviceSchema);
export const AccountDevicesSchema = Type.Object({ devices: AccountDeviceListSchema });

export const AccountApiKeyListSchema = Type.Array(ApiKeySchema);
export const AccountApiKeysSchema = Type.Object({ api_keys: AccountApiKeyListSchema });

const AccountLedgerEntrySchema = Type.Object(
  {
    id: Type.String({ format: 'uuid' }),
    kind: OneOf(['grant', 'transfer', 'reset', 'adjustment', 'subscription', 'correction']),
    amount: Type.Integer({ description: 'Tokens: positive if added, negative if taken back.' }),
    actor: Type.String({ description: 'Who did it: admin:<name> or system:<what>.' }),
    reference: NullableText,
    created_at: Type.String(),
  },
  { title: 'AccountLedgerEntry' },
);
export const AccountLedgerEntriesSchema = Type.Array(AccountLedgerEntrySchema);
export const AccountLedgerSchema = Type.Object({ entries: AccountLedgerEntriesSchema, next_cursor: NextCursor });

export const SetPlanSchema = Type.Object({ tier: TierSchema }, { additionalProperties: false });

export const DeletedAccountSchema = Type.Object({ deleted: Type.Literal(true) });
