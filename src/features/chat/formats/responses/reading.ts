import type { Reading } from '../../codec.js';
import { type Fields, isFields, toFields } from '../../json-fields.js';
import { hasTokens } from '../../metering/evidence.js';
import type { Chunk } from '../../metering/usage-accumulator.js';
import { toErrorInBody } from '../../openrouter/upstream-error.js';
import { PINGS } from '../../stream/sse.js';
import { parseUsage } from '../openai/usage.js';
import { responseToText } from './written-text.js';

/** Events that end a stream with an answer, though perhaps one that was cut short. */
const ANSWERED: readonly unknown[] = ['response.completed', 'response.incomplete'];
/** Events that end a stream without one. */
const FAILED: readonly unknown[] = ['response.failed', 'response.cancelled'];
const FAILED_STATUSES: readonly unknown[] = ['failed', 'cancelled'];
/** Upstream's own events about what it sent on to a provider. */
const INTERNAL: readonly unknown[] = ['response.debug'];
/** Events that come before anything of the answer does. */
const PRELIMINARY: readonly unknown[] = ['response.created', 'response.in_progress', 'response.queued'];
const EVENT_TYPE = /^response\.[a-z0-9_.]{1,100}$/;
/** The ids that upstream can be asked for its count by; other ids name responses only. */
const GENERATION_ID = /^gen-[\x21-\x7e]{1,196}$/;

const isSet = (value: unknown) => value !== undefined && value !== null;
const isFailed = ({ status, error }: Fields) => FAILED_STATUSES.includes(status) || isSet(error);

function toChunk(fields: Fields, response: Fields, text: string): Chunk {
  const { id, provider } = response;
  return {
    id: typeof id === 'string' && GENERATION_ID.test(id) ? id : undefined,
    provider: typeof provider === 'string' && provider !== '' ? provider.slice(0, 50).toLowerCase() : undefined,
    usage: parseUsage(fields, []),
    isError: isFailed(response),
    hasContent: true,
    isFinished: false,
    text,
  };
}

/** Returns the error of a response that failed, without anything of the answer. */
const toResponseError = ({ error, error_type: type }: Fields) => toErrorInBody({ error: { type, ...toFields(error) } });

/**
 * Reads an event (OpenAI API reference, "Streaming events"). Only the last event may say that the model has finished.
 * @param text what the model wrote in it
 */
export function readResponseEvent(fields: Fields, text: string): Reading {
  const { type } = fields;
  if (PINGS.includes(String(type)) || INTERNAL.includes(type)) return { kind: 'ping' };
  const response = toFields(fields['response']);
  const chunk = toChunk(fields, response, text);
  if (typeof type !== 'string' || !EVENT_TYPE.test(type)) {
    // What is not understood is billed by what it counts.
    const counted = hasTokens(chunk.usage) ? { ...chunk, text: '', isError: true } : undefined;
    return { kind: 'fault', error: toErrorInBody(fields), chunk: counted };
  }
  const isLast = ANSWERED.includes(type);
  if (FAILED.includes(type) || (isLast && isFailed(response))) {
    return { kind: 'fault', error: toResponseError(response), chunk: { ...chunk, isError: true }, isLast: true };
  }
  const hasContent = text !== '' || !PRELIMINARY.includes(type);
  return { kind: 'chunk', chunk: { ...chunk, hasContent, isFinished: isLast }, eventName: type, isLast };
}

/** Reads an answer that came whole (OpenAI API reference, "The Response object"). */
export function readResponse(fields: Fields): Reading {
  const chunk = { ...toChunk(fields, fields, responseToText(fields)), isFinished: true };
  if (isFailed(fields)) return { kind: 'fault', error: toResponseError(fields), chunk };
  const isAnswer = Array.isArray(fields['output']) || hasTokens(chunk.usage);
  return isAnswer ? { kind: 'chunk', chunk } : { kind: 'fault', error: toErrorInBody(fields), chunk };
}

/** Returns the response in an event; undefined for events that are about a part of it. */
export function findResponse(event: Fields): Fields | undefined {
  const { response } = event;
  return isFields(response) ? response : undefined;
}
