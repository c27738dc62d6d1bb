import type { Readable } from 'node:stream';
import { Type } from '@sinclair/typebox';
import { ApiKeySchema, RevokeApiKeys } from '../../auth/api-keys/schemas.js';
import { EmailSchema } from '../../auth/email.js';
import { PasswordSchema, TypedPasswordSchema } from '../../auth/passwords.js';
import { DisplayNameSchema, UserSchema } from '../../auth/user-schema.js';
import { HOLD_STATUSES, OneOf, PROVENANCES, SOURCES } from '../../platform/http/one-of.js';
import { NextCursor } from '../../platform/http/pagination.js';

export const ProfileSchema = Type.Composite(
  [
    UserSchema,
    Type.Object({
      email_verified: Type.Boolean({
        description: 'Whether the address was verified, by mail or by a sign-in provider.',
      }),
      pending_email: Type.Union([
        Type.String({ description: 'The address that replaces this one when the link mailed to it is followed.' }),
        Type.Null(),
      ]),
      has_password: Type.Boolean(),
      second_factor: Type.Boolean({ description: 'Whether signing in asks for a code.' }),
      providers: Type.Array(Type.String(), {
        description: 'Sign-in providers linked to the account.',
        examples: [['google']],
      }),
    }),
  ],
  { title: 'Profile' },
);

const PictureSchema = Type.String({
  maxLength: 2048,
  format: 'uri',
  pattern: '^https://[^/?#:@]+(:[0-9]{1,5})?([/?#]|$)',
  examples: ['https://example.com/me.png'],
});

export const UpdateProfileSchema = Type.Object(
  {
    name: Type.Optional(Type.Union([DisplayNameSchema, Type.Null()])),
    picture: Type.Optional(Type.Union([PictureSchema, Type.Null()])),
    email: Type.Optional(EmailSchema),
  },
  { additionalProperties: false, minProperties: 1, description: 'Absent members stay as they are, null clears them.' },
);

export const DeletedAccountSchema = Type.Object({ deleted: Type.Literal(true) });

export const ChangePasswordSchema = Type.Object(
  {
    current_password: Type.Optional(TypedPasswordSchema),
    new_password: PasswordSchema,
    revoke_api_keys: RevokeApiKeys,
  },
  { additionalProperties: false, description: 'current_password is required if the account has a password.' },
);

export const ChangedPasswordSchema = Type.Object({ message: Type.String(), api_keys: Type.Array(ApiKeySchema) });

export const BalanceSchema = Type.Object(
  {
    allocated: Type.Integer({ description: 'Tokens granted.' }),
    used: Type.Integer({ description: 'Tokens spent.' }),
    reserved: Type.Integer({ description: 'Tokens set aside by holds.' }),
    remaining: Type.Integer({ description: 'Tokens left.' }),
    debt: Type.Integer({
      description: 'Tokens a provider billed beyond its hold; the next tokens granted pay them back.',
    }),
  },
  { title: 'Balance' },
);

export const LedgerItemSchema = Type.Object(
  {
    id: Type.String({ format: 'uuid' }),
    kind: OneOf(['grant', 'transfer', 'reset', 'adjustment', 'subscription', 'correction', 'debit', 'hold']),
    amount: Type.Integer({
      description:
        'Tokens: positive if added, negative if taken back or spent. For a hold, the tokens it sets or set aside.',
    }),
    provenance: OneOf([...PROVENANCES, 'admin', 'system'], {
      description:
        'Origin of the amount. Debits: client_reported, provider_final or estimated; holds: estimated; all others: admin or system.',
    }),
    model: Type.Optional(Type.String()),
    provider: Type.Optional(Type.String()),
    source: Type.Optional(OneOf(SOURCES, { description: 'Which API recorded a debit.' })),
    reference: Type.Optional(Type.String({ description: 'What a change refers to.' })),
    status: Type.Optional(OneOf(HOLD_STATUSES, { description: 'Of a hold.' })),
    expires_at: Type.Optional(Type.String({ description: 'When a hold expires.' })),
    created_at: Type.String({ description: 'When it happened.' }),
  },
  { title: 'LedgerEntry' },
);

export const LedgerSchema = Type.Object({ entries: Type.Array(LedgerItemSchema), next_cursor: NextCursor });

export const OwnDeviceSchema = Type.Object(
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
    reserved: Type.Integer({ description: 'Tokens set aside by holds.' }),
    last_used_at: Type.Union([Type.String(), Type.Null()], {
      description: 'The quarter hour of its last use; null before the first.',
    }),
  },
  { title: 'Device' },
);

export const OwnDevicesSchema = Type.Object({ devices: Type.Array(OwnDeviceSchema), next_cursor: NextCursor });

export const OwnDeviceParamsSchema = Type.Object({ id: Type.String({ format: 'uuid' }) });

export const RenameDeviceSchema = Type.Object(
  { name: Type.String({ minLength: 1, maxLength: 200, pattern: '\\S' }) },
  { additionalProperties: false },
);

export const RenamedDeviceSchema = Type.Object({ device_id: Type.String({ format: 'uuid' }), name: Type.String() });

export const UnlinkedDeviceSchema = Type.Object({
  device_id: Type.String({ format: 'uuid' }),
  unlinked: Type.Literal(true),
});

const Rows = (description: string) => Type.Array(Type.Object({}, { additionalProperties: true }), { description });

/** The file of an export. It is streamed: this schema documents it and serializes nothing. */
export const ExportSchema = Type.Unsafe<Readable>(
  Type.Object({
    exported_at: Type.String({ format: 'date-time' }),
    profile: ProfileSchema,
    identities: Rows('Accounts at sign-in providers.'),
    sessions: Rows('Sessions.'),
    api_keys: Rows('API keys, without their secrets.'),
    tracker: Type.Union([Type.Object({}, { additionalProperties: true }), Type.Null()], {
      description: 'Counters of the usage clients tracked.',
    }),
    known_addresses: Rows('Network addresses the person logged in from.'),
    balance: BalanceSchema,
    devices: Type.Array(OwnDeviceSchema),
    ledger_entries: Rows('Changes to the allocation, oldest first.'),
    reservations: Rows('Holds, oldest first.'),
    usage_events: Rows('Every recorded use, oldest first.'),
    subscriptions: Rows('The subscription, in a list of one or none.'),
    subscription_grants: Rows('Paid periods and the tokens granted for them, oldest first.'),
    feature_events: Rows('Every use of a feature, oldest first.'),
    settings: Rows('Every setting by its name (id), deleted ones included, with the device that changed it.'),
    settings_versions: Rows('The versions of the settings still kept, oldest first.'),
  }),
);
