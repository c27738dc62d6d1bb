import { Type } from '@sinclair/typebox';

/** The id a client token is about: a UUID, as Postgres writes it. */
export const SubjectSchema = Type.String({ pattern: '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' });

/** The version a token was made for, a Postgres integer; raising it ends the token. */
export const TokenVersionSchema = Type.Integer({ minimum: 1, maximum: 2_147_483_647 });
