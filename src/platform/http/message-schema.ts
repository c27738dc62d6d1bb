import { Type } from '@sinclair/typebox';

/** An answer that is only for the person to read. */
export const MessageSchema = Type.Object({ message: Type.String({ description: 'A sentence for the person.' }) });
