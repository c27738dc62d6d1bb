import { type Static, Type } from '@sinclair/typebox';
import { NextCursor, PageQuery } from '../../../platform/http/pagination.js';

const NullableText = Type.Union([Type.String(), Type.Null()]);

export const AuditQuerySchema = Type.Object(
  {
    ...PageQuery,
    target: Type.Optional(Type.String({ minLength: 1, maxLength: 300, examples: ['device:<id>', 'user:<id>'] })),
    actor: Type.Optional(Type.String({ minLength: 1, maxLength: 150, examples: ['admin:root'] })),
    action: Type.Optional(Type.String({ minLength: 1, maxLength: 100, examples: ['allocate'] })),
    from: Type.Optional(Type.String({ format: 'date-time', maxLength: 40, description: 'The first moment.' })),
    to: Type.Optional(Type.String({ format: 'date-time', maxLength: 40, description: 'The moment to stop before.' })),
  },
  { additionalProperties: false },
);
export type AuditQuery = Static<typeof AuditQuerySchema>;

const AuditEntrySchema = Type.Object({
  id: Type.Integer(),
  actor: Type.String(),
  action: Type.String(),
  target: NullableText,
  before: Type.Unknown(),
  after: Type.Unknown(),
  request_id: NullableText,
  created_at: Type.String(),
  address: NullableText,
});
export const AuditEntriesSchema = Type.Array(AuditEntrySchema);
export const AuditSchema = Type.Object({ entries: AuditEntriesSchema, next_cursor: NextCursor });
