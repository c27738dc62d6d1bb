import { FormatRegistry, type Static, type TSchema } from '@sinclair/typebox';
import { type TypeCheck, TypeCompiler } from '@sinclair/typebox/compiler';
import { DatabaseError } from './database-error.js';

/** TypeBox knows no formats by itself and refuses every text of an unknown one. */
FormatRegistry.Set('uuid', (text) => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text));
FormatRegistry.Set('date', (text) => !Number.isNaN(Date.parse(text)));

/** Checks what a SQL function returned and gives it its type. */
export type Decoder<Schema extends TSchema> = (value: unknown) => Static<Schema>;

/**
 * Builds the decoder of what a SQL function returns, against the shape it promises.
 * @returns a function that returns the value, typed, or throws a {@link DatabaseError}: an answer of another shape is
 *   an outage, never a success
 */
export function createDecoder<Schema extends TSchema>(schema: Schema): Decoder<Schema> {
  let checker: TypeCheck<Schema> | undefined;
  return (value) => {
    // With its first answer, as most processes never ask most functions.
    checker ??= TypeCompiler.Compile(schema);
    if (checker.Check(value)) return value;
    throw DatabaseError.unexpected('unexpected answer');
  };
}
