import { type Static, Type } from '@sinclair/typebox';
import { TypeCompiler } from '@sinclair/typebox/compiler';

/** More than this nobody bills for one request; a larger number is a mistake and counts as none. */
const MAX_TOKENS = 1_000_000_000;
const Count = Type.Integer({ minimum: 0, maximum: MAX_TOKENS });
const UsageSchema = Type.Object({ prompt_tokens: Count, completion_tokens: Count });
/** What upstream bills: cached tokens are part of the prompt's, reasoning tokens of the completion's. */
export type Usage = Static<typeof UsageSchema>;

const usages = TypeCompiler.Compile(UsageSchema);
const records = TypeCompiler.Compile(Type.Record(Type.String(), Type.Unknown()));

/** What metering has to know of a chunk, or of a whole answer. */
export interface ChunkFacts {
  readonly id: string | undefined;
  readonly provider: string | undefined;
  readonly usage: Usage | undefined;
  readonly isError: boolean;
  /** Whether it has anything for the reader besides usage. */
  readonly hasChoices: boolean;
  /** All text the model wrote in it: answer, reasoning, refusal, arguments of tools. */
  readonly text: string;
}

type Fields = Readonly<Record<string, unknown>>;

const fieldsOf = (value: unknown): Fields => (records.Check(value) ? value : {});
const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);
const textOf = (value: unknown): string => (typeof value === 'string' ? value : '');
const nameOf = (value: unknown, length: number): string | undefined =>
  typeof value === 'string' && value !== '' ? value.slice(0, length) : undefined;

function contentOf(content: unknown): string {
  return Array.isArray(content) ? content.map((part) => textOf(fieldsOf(part)['text'])).join('') : textOf(content);
}

function callOf(call: unknown): string {
  const { name, arguments: given } = fieldsOf(fieldsOf(call)['function']);
  return textOf(name) + textOf(given);
}

function writtenIn(choice: unknown): string {
  const { delta, message } = fieldsOf(choice);
  const { content, reasoning, refusal, tool_calls: calls } = fieldsOf(delta ?? message);
  return contentOf(content) + textOf(reasoning) + textOf(refusal) + listOf(calls).map(callOf).join('');
}

/**
 * Reads a chunk of a stream, or an answer that came whole.
 * @param data JSON, as upstream sent it
 * @returns undefined for what is no JSON object
 */
export function factsOf(data: string): ChunkFacts | undefined {
  let chunk: unknown;
  try {
    chunk = JSON.parse(data);
  } catch {
    return undefined;
  }
  if (!records.Check(chunk)) return undefined;
  const choices = listOf(chunk['choices']);
  const failed = (choice: unknown) => fieldsOf(choice)['finish_reason'] === 'error';
  return {
    id: nameOf(chunk['id'], 200),
    provider: nameOf(chunk['provider'], 50)?.toLowerCase(),
    usage: usages.Check(chunk['usage']) ? chunk['usage'] : undefined,
    isError: (chunk['error'] ?? null) !== null || choices.some(failed),
    hasChoices: choices.length > 0,
    text: choices.map(writtenIn).join(''),
  };
}
