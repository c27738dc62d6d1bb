import { Type } from '@sinclair/typebox';
import { ApiKeySchema } from '../../../auth/api-keys/schemas.js';
import { SessionSchema } from '../../../auth/sessions/schemas.js';
import { UserSchema } from '../../../auth/user-schema.js';
import { NextCursor } from '../../../platform/http/pagination.js';

const NullableText = Type.Union([Type.String(), Type.Null()]);
export const TierSchema = Type.Union([Type.Literal('free'), Type.Literal('pro'), Type.Literal('premium')]);

export const AccountParamsSchema = Type.Object({ id: Type.String({ format: 'uuid' }) });

export const AccountSchema = Type.Composite(
  [
    UserSchema,
    Type.Object({
      email_verified: Type.Boolean(),
      suspended_at: NullableText,
      tier: TierSchema,
      second_factor: Type.Boolean({ description: 'Whether signing in asks for a code.' }),
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
  { title: 'AccountDevice' },
);
export const AccountDeviceListSchema = Type.Array(AccountDeviceSchema);
export const AccountDevicesSchema = Type.Object({ devices: AccountDeviceListSchema });

export const AccountApiKeyListSchema = Type.Array(ApiKeySchema);
export const AccountApiKeysSchema = Type.Object({ api_keys: AccountApiKeyListSchema });

export const RemovedSecondFactorSchema = Type.Object({
  removed: Type.Literal(true),
  ended: Type.Integer({ description: 'Sessions that ended.' }),
});

export const AccountSessionListSchema = Type.Array(Type.Omit(SessionSchema, ['current'], { title: 'AccountSession' }));
export const AccountSessionsSchema = Type.Object({ sessions: AccountSessionListSchema, next_cursor: NextCursor });

export const SetPlanSchema = Type.Object({ tier: TierSchema }, { additionalProperties: false });

export const DeletedAccountSchema = Type.Object({ deleted: Type.Literal(true) });
