import { Type } from '@sinclair/typebox';
import { EmailSchema } from '../../../auth/email.js';
import { NextCursor } from '../../../platform/http/pagination.js';

export const CreateInvitationSchema = Type.Object(
  {
    email: Type.Optional({ ...EmailSchema, description: 'The only address it is good for; the invitation proves it.' }),
    tokens: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 1_000_000_000_000,
        description: 'Tokens the account starts with at once, instead of the default ones for a verified address.',
      }),
    ),
    expires_in_days: Type.Optional(Type.Integer({ minimum: 1, maximum: 365, description: '7 unless given.' })),
  },
  { additionalProperties: false },
);

const NullableText = Type.Union([Type.String(), Type.Null()]);

export const InvitationSchema = Type.Object({
  id: Type.String({ format: 'uuid' }),
  email: NullableText,
  tokens: Type.Union([Type.Integer(), Type.Null()]),
  created_by: Type.String({ examples: ['admin:root'] }),
  created_at: Type.String(),
  expires_at: Type.String(),
  redeemed_at: NullableText,
  redeemed_by: Type.Union([Type.String({ description: 'The account made with it.' }), Type.Null()]),
});

export const CreatedInvitationSchema = Type.Composite([
  InvitationSchema,
  Type.Object({
    code: Type.String({ description: 'Shown only now: what POST /auth/register takes as invitation.' }),
    link: Type.String({ description: 'Shown only now: the page on which the account is made.' }),
    mailed: Type.Boolean({ description: 'Whether the link is on its way to the address.' }),
  }),
]);

export const InvitationsSchema = Type.Object({ invitations: Type.Array(InvitationSchema), next_cursor: NextCursor });

export const InvitationParamsSchema = Type.Object({ id: Type.String({ format: 'uuid' }) });

export const DeletedInvitationSchema = Type.Object({ deleted: Type.Literal(true) });
