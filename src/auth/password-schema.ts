import { Type } from '@sinclair/typebox';

/** A password somebody chooses: rules about its length, none about its characters; it is never truncated. */
export const PasswordSchema = Type.String({ minLength: 8, maxLength: 256 });

/** A password as somebody typed it, to be compared with the one that is kept. */
export const TypedPasswordSchema = Type.String({ minLength: 1, maxLength: 256 });
