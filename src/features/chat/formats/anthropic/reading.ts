import type { Reading } from '../../codec.js';
import { type Fields, isFields, toFields, toList } from '../../json-fields.js';
import { hasTokens } from '../../metering/evidence.js';
import type { Chunk } from '../../metering/usage-accumulator.js';
import { toWrittenText } from '../../metering/written-text.js';
import { toErrorInBody } from '../../openrouter/upstream-error.js';
import { PINGS } from '../../stream/sse.js';
import { createUsageReader } from './usage.js';

/** The events an answer consists of (Anthropic's documentation, "Streaming messages"). */
const EVENTS: readonly string[] = [
  'message_start',
  'content_block_start',
  'content_block_delta',
  'content_block_stop',
  'message_delta',
  'message_stop',
];
/** Members of the last delta that are no text of the model's. */
const STOP_MEMBERS: readonly string[] = ['stop_reason', 'stop_sequence', 'stop_details', 'container'];

const toName = (value: unknown, maxLength: number): string | undefined =>
  typeof value === 'string' && value !== '' ? value.slice(0, maxLength) : undefined;

/** Returns OpenRouter's id of a generation: a message may have its provider's own instead, which says nothing upstream. */
const findGenerationId = (...ids: readonly unknown[]): string | undefined =>
  ids.map((id) => toName(id, 200)).find((id) => id?.startsWith('gen-'));

const isStopReason = (value: unknown): boolean => typeof value === 'string' && value !== '' && value !== 'error';

/** Returns what the model wrote in some blocks: not what tools answered that were run upstream. */
function blocksToText(blocks: readonly unknown[]): string {
  const written = blocks.filter((block) => !/_tool_result$/.test(String(toFields(block)['type'])));
  return written.map((block) => toWrittenText([block])).join('');
}

/** Members of an event that are no text of the model's, or are looked at by themselves. */
const EVENT_MEMBERS: readonly string[] = [
  'type',
  'index',
  'message',
  'content_block',
  'delta',
  'usage',
  'context_management',
];

function eventToText(event: Fields): string {
  const { type, message, content_block: block, delta } = event;
  const isEnd = type === 'message_delta';
  const members = Object.entries(toFields(delta)).filter(([name]) => !isEnd || !STOP_MEMBERS.includes(name));
  const blocks = isEnd ? [] : [...toList(toFields(message)['content']), block];
  const beside = Object.entries(event).filter(([name]) => !EVENT_MEMBERS.includes(name));
  return (
    blocksToText(blocks) +
    toWrittenText([isFields(delta) ? Object.fromEntries(members) : delta]) +
    toWrittenText([Object.fromEntries(beside)])
  );
}

/** Returns an error in our words; what the model wrote says nothing about it. */
function toFault({ content: _content, delta: _delta, ...rest }: Fields, chunk: Chunk | undefined): Reading {
  return { kind: 'fault', error: toErrorInBody(rest), chunk };
}

const isSet = (value: unknown) => value !== undefined && value !== null;

/** How one answer in Anthropic's format is read. */
interface AnthropicReader {
  readonly readEvent: (event: Fields) => Reading;
  readonly readAnswer: (answer: Fields) => Reading;
  /** Returns whether the model has said that it has finished. */
  readonly isFinished: () => boolean;
}

/** Builds the reader of one answer. */
export function createAnthropicReader(): AnthropicReader {
  const readUsage = createUsageReader();
  let isFinished = false;

  const toChunk = (fields: Fields, text: string): Chunk => {
    const message = toFields(fields['message']);
    const { stop_reason: stopReason } = { ...fields, ...toFields(fields['delta']) };
    const isError = isSet(fields['error']) || fields['type'] === 'error';
    return {
      id: findGenerationId(message['id'], fields['id']),
      provider: toName(message['provider'] ?? fields['provider'], 50)?.toLowerCase(),
      usage: readUsage([message['usage'], fields['usage'], toFields(fields['delta'])['usage']]),
      isError,
      hasContent: !isError,
      isFinished: isStopReason(stopReason) || fields['type'] === 'message_stop',
      text,
    };
  };

  return {
    isFinished: () => isFinished,
    readEvent: (event) => {
      const { type } = event;
      if (typeof type === 'string' && PINGS.includes(type)) return { kind: 'ping' };
      const isKnown = typeof type === 'string' && EVENTS.includes(type);
      const chunk = toChunk(event, isKnown ? eventToText(event) : '');
      if (chunk.isError) return toFault(event, chunk);
      if (isKnown) {
        isFinished ||= chunk.isFinished;
        return { kind: 'chunk', chunk, eventName: type, isLast: type === 'message_stop' };
      }
      const counted = hasTokens(chunk.usage) ? { ...chunk, hasContent: false, isFinished: false } : undefined;
      if (typeof type !== 'string') return toFault(event, counted);
      // There may be more kinds of events one day; clients are spared them, and what they count is billed.
      return counted === undefined ? { kind: 'ping' } : { kind: 'chunk', chunk: counted };
    },
    readAnswer: (answer) => {
      const { type, content } = answer;
      const chunk = toChunk(answer, blocksToText(toList(content)));
      const isMessage = type === 'message' && Array.isArray(content) && content.every(isFields);
      const isAnswer = isMessage && (content.length > 0 || hasTokens(chunk.usage));
      if (isAnswer && !chunk.isError) return { kind: 'chunk', chunk };
      // What came of an answer is billed, also where it is none for its client.
      return toFault(answer, isMessage || hasTokens(chunk.usage) ? chunk : undefined);
    },
  };
}
