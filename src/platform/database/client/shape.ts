import { FormatRegistry, type Static, type TSchema } from '@sinclair/typebox';
import { TypeCompiler } from '@sinclair/typebox/compiler';
import { DatabaseFailure } from './failure.js';

/** TypeBox knows no formats by itself and refuses every text of an unknown one. */
FormatRegistry.Set('uuid', (text) => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text));
FormatRegistry.Set('date', (text) => !Number.isNaN(Date.parse(text)));

/**
 * Builds the check of what a SQL function answers against the shape it promises.
 * @returns a function that returns the answer, typed, or throws a {@link DatabaseFailure}: an answer of
 *   another shape is an outage, never a success
 */
export function shapeOf<Schema extends TSchema>(schema: Schema): (answer: unknown) => Static<Schema> {
  const checker = TypeCompiler.Compile(schema);
  return (answer) => {
    if (checker.Check(answer)) return answer;
    throw DatabaseFailure.unexpected('unexpected answer');
  };
}
