import { Type } from '@sinclair/typebox';

const Id = Type.String({ format: 'uuid' });

export const DeviceParamsSchema = Type.Object({ id: Id });

export const BlockDeviceSchema = Type.Object(
  { device_id: Id, blocked: Type.Boolean() },
  { additionalProperties: false },
);

export const RenameDeviceSchema = Type.Object(
  { name: Type.String({ minLength: 1, maxLength: 200, pattern: '\\S' }) },
  { additionalProperties: false },
);

export const ManagedDeviceSchema = Type.Object(
  {
    device_id: Type.String(),
    name: Type.String(),
    blocked: Type.Boolean(),
    registrations: Type.Integer(),
    token_version: Type.Integer({ description: 'Raised by a rotation.' }),
    allocated: Type.Integer(),
    used: Type.Integer(),
    reserved: Type.Integer(),
    remaining: Type.Integer(),
  },
  { title: 'ManagedDevice' },
);

export const DeletedDeviceSchema = Type.Object({
  device_id: Type.String(),
  returned: Type.Integer({ description: 'Tokens returned to the pool.' }),
});
