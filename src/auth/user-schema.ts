import { Type } from '@sinclair/typebox';

const NullableText = Type.Union([Type.String(), Type.Null()]);

/** A person's name as they want it shown. */
export const DisplayNameSchema = Type.String({ minLength: 1, maxLength: 200, pattern: '\\S' });

/** An account with its balance, as contract 4 shows it. */
export const UserSchema = Type.Object(
  {
    id: Type.String({ format: 'uuid' }),
    email: Type.String(),
    name: Type.String({ description: 'What is before the @ of the address, where no other name is given.' }),
    picture: NullableText,
    total_tokens: Type.Integer({ description: 'Tokens granted.' }),
    tokens_used: Type.Integer(),
    tokens_left: Type.Integer(),
    created_at: Type.String(),
    updated_at: Type.String({ description: 'When the profile or the balance last changed.' }),
  },
  { title: 'User' },
);
