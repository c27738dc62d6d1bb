import { type Static, Type } from '@sinclair/typebox';

const Tokens = (description: string) => Type.Integer({ minimum: 0, description });
const HAS_TEXT = '\\S';

export const RegisterDeviceSchema = Type.Object(
  {
    device_name: Type.String({ minLength: 1, maxLength: 200, pattern: HAS_TEXT, examples: ['My Laptop'] }),
    hardware_fingerprint: Type.String({
      minLength: 1,
      maxLength: 512,
      pattern: HAS_TEXT,
      description: 'Names the device: for one owner, the same fingerprint is the same device. It is no secret.',
      examples: ['unique-id'],
    }),
    enrollment_key: Type.Optional(
      Type.String({ maxLength: 256, description: 'Required if the operator has set one.' }),
    ),
    device_secret: Type.Optional(
      Type.String({
        minLength: 20,
        maxLength: 256,
        description:
          'A random text only this installation knows. Sent with the first registration, it has to be sent with every later one that brings no other proof.',
      }),
    ),
    device_token: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 2_048,
        description:
          "A token of the device it was given before: beside a user's bearer it links the device that was anonymous until now.",
      }),
    ),
  },
  { additionalProperties: false, examples: [{ device_name: 'My Laptop', hardware_fingerprint: 'unique-id' }] },
);
export type RegisterDevice = Static<typeof RegisterDeviceSchema>;

export const RegisteredDeviceSchema = Type.Object(
  {
    device_id: Type.String({ format: 'uuid' }),
    device_token: Type.String({ description: 'Bearer token of the device; keep it secret.' }),
    allocation: Tokens('Tokens granted to the device.'),
    remaining: Tokens('Tokens it can still use.'),
    linked: Type.Optional(
      Type.Boolean({
        description:
          "With a user's bearer: true, the device is linked to that user. A fingerprint another user has makes a device of its own.",
      }),
    ),
  },
  { title: 'RegisteredDevice' },
);

const UseFields = {
  model_type: Type.String({ minLength: 1, maxLength: 200, pattern: HAS_TEXT, examples: ['claude-opus-4.5'] }),
  prompt_count: Type.Integer({
    minimum: 1,
    maximum: 1_000_000,
    default: 1,
    description: 'Prompts the use counts for.',
  }),
  event_id: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 255,
      description: 'Idempotency key: a repeated request gets the same answer and is charged once.',
    }),
  ),
};

export const LogUsageSchema = Type.Object(
  {
    ...UseFields,
    reservation_id: Type.Optional(Type.String({ format: 'uuid', description: 'The hold this use settles.' })),
  },
  { additionalProperties: false, examples: [{ model_type: 'claude-opus-4.5' }] },
);
export type LogUsage = Static<typeof LogUsageSchema>;

export const LoggedUsageSchema = Type.Object(
  {
    tokens_used: Tokens('Tokens this use cost.'),
    remaining: Tokens('Tokens left.'),
    event_id: Type.String({ format: 'uuid', description: 'Id of the usage event.' }),
  },
  { title: 'LoggedUsage' },
);

export const CheckUseSchema = Type.Object(
  {
    ...UseFields,
    reserve: Type.Boolean({ default: false, description: 'Set the tokens aside until the use is logged.' }),
  },
  { additionalProperties: false, examples: [{ model_type: 'claude-opus-4.5' }] },
);

export const CheckedUseSchema = Type.Object(
  {
    can_use: Type.Boolean(),
    tokens_needed: Tokens('Tokens the use would cost.'),
    remaining: Tokens('Tokens left, not counting those set aside.'),
    reservation_id: Type.Optional(
      Type.String({ format: 'uuid', description: 'The hold, to be sent when the use is logged.' }),
    ),
    expires_at: Type.Optional(Type.String({ format: 'date-time', description: 'When the hold expires.' })),
  },
  { title: 'CheckedUse' },
);

export const DeviceParamsSchema = Type.Object({ id: Type.String({ minLength: 1, maxLength: 100 }) });

export const DeviceBalanceSchema = Type.Object(
  {
    allocated: Tokens('Tokens granted.'),
    used: Tokens('Tokens spent.'),
    reserved: Tokens('Tokens set aside by holds.'),
    remaining: Tokens('Tokens left.'),
    can_use_tokens: Type.Boolean({ description: 'Whether any token is left.' }),
  },
  { title: 'DeviceBalance' },
);
