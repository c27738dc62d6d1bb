import { Type } from '@sinclair/typebox';
import type { Json } from '../../platform/database/client/types.js';
import { OneOf } from '../../platform/http/one-of.js';

/** The longest body that carries settings, and the longest document. */
export const SETTINGS_LIMIT_BYTES = 256 * 1024;

const MAX_VERSION = Number.MAX_SAFE_INTEGER;
const NAME = '^[\\s\\S]{1,200}$';

const ValueSchema = Type.Unsafe<Json>({ description: 'Any JSON.' });
const DeviceSchema = Type.String({
  minLength: 1,
  maxLength: 200,
  description: 'The name the device gives itself; the same each time.',
  examples: ['laptop-chrome'],
});
const Version = (description: string) => Type.Integer({ minimum: 0, maximum: MAX_VERSION, description });
const Milliseconds = (description: string) => Type.Integer({ minimum: 0, maximum: 253_402_300_799_999, description });
const SyncedAt = Type.Union([Type.String({ maxLength: 40, description: 'When they last changed.' }), Type.Null()]);

/** Settings as answers hold them: names may be anything, so the schema only says that they are an object. */
const SettingsSchema = Type.Unsafe<Record<string, Json>>(Type.Object({}, { additionalProperties: true }));

export const SettingsDocumentSchema = Type.Object(
  {
    settings: SettingsSchema,
    version: Type.Integer({ minimum: 0, description: 'The number of changes so far; 0 before the first one.' }),
    last_synced_at: SyncedAt,
  },
  { title: 'Settings' },
);

export const WrittenSettingsSchema = Type.Composite([SettingsDocumentSchema, Type.Object({ stale: Type.Boolean() })]);

export const PutSettingsSchema = Type.Object(
  {
    settings: Type.Record(Type.String({ pattern: NAME }), ValueSchema, {
      additionalProperties: false,
      description: 'The whole document; settings it lacks are deleted.',
    }),
    version: Type.Optional(Version('Only replace this version, like If-Match.')),
    last_synced_at: Type.Optional(SyncedAt),
    device: Type.Optional(DeviceSchema),
  },
  {
    additionalProperties: false,
    description: 'A document can be sent back as it was read: last_synced_at is ignored.',
  },
);

const UpdatedAt = Milliseconds('When it was changed, in milliseconds since 1970; a time in the future counts as now.');
const ChangeSchema = Type.Union([
  Type.Object(
    { value: ValueSchema, deleted: Type.Optional(Type.Literal(false)), updated_at: UpdatedAt },
    { additionalProperties: false },
  ),
  Type.Object({ deleted: Type.Literal(true), updated_at: UpdatedAt }, { additionalProperties: false }),
]);

export const PushSettingsSchema = Type.Object(
  {
    device: Type.Optional(DeviceSchema),
    base_version: Version('The version the device knows; 0 for none.'),
    changes: Type.Record(Type.String({ pattern: NAME }), ChangeSchema, {
      additionalProperties: false,
      description: 'By the name of the setting.',
    }),
  },
  { additionalProperties: false },
);

/** The current state of settings, by name: `{value | deleted, updated_at, device, version}`. */
const CurrentSettingsSchema = Type.Unsafe<Record<string, Json>>(
  Type.Object(
    {},
    {
      additionalProperties: true,
      description:
        'By name: value, or deleted: true; updated_at in milliseconds since 1970; the device that changed it; its version.',
    },
  ),
);

export const PushedSettingsSchema = Type.Composite([
  SettingsDocumentSchema,
  Type.Object({ overruled: CurrentSettingsSchema }),
]);

export const PullQuerySchema = Type.Object(
  {
    since: Type.Integer({ minimum: 0, maximum: MAX_VERSION, default: 0, description: 'The version the device knows.' }),
  },
  { additionalProperties: false },
);

export const PulledSettingsSchema = Type.Object({
  version: Type.Integer({ minimum: 0 }),
  last_synced_at: SyncedAt,
  full: Type.Boolean({ description: 'Whether changes holds every setting: those it lacks do not exist.' }),
  changes: CurrentSettingsSchema,
});

export const SettingsHistorySchema = Type.Object({
  versions: Type.Array(
    Type.Object({
      version: Type.Integer({ minimum: 1 }),
      settings: SettingsSchema,
      action: OneOf(['put', 'push', 'restore'], { description: 'The write that made it.' }),
      device: Type.Union([Type.String(), Type.Null()]),
      created_at: Type.String(),
    }),
  ),
});

export const RestoreSettingsSchema = Type.Object(
  {
    version: Type.Integer({ minimum: 1, maximum: MAX_VERSION, description: 'A version from the history.' }),
    device: Type.Optional(DeviceSchema),
  },
  { additionalProperties: false },
);
