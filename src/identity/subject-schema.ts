import { Type } from '@sinclair/typebox';

/** The id a client token is about: a UUID, as Postgres writes it. */
export const SubjectSchema = Type.String({ pattern: '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' });
