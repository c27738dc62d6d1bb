import { ApiError } from '../../../../platform/errors.js';
import type { Codec, RequestCodec } from '../../codec.js';
import { type Fields, toFields } from '../../json-fields.js';
import { formatData } from '../../stream/sse.js';
import { toAnthropicError } from './errors.js';
import { estimateMessages } from './prompt.js';
import { createAnthropicReader } from './reading.js';

/** The mark OpenRouter ends its streams with, after Anthropic's own last event. */
const DONE_MARK = '[DONE]';
/** The least a model can be told to think, and still answer. */
const MIN_THINKING_TOKENS = 1_024;
const QUOTA_SENTENCE = 'The tokens ran out; what came until here is billed. Please contact support to add more tokens.';

const formatNamedEvent = (data: Fields & { readonly type: string }) => formatData(JSON.stringify(data), data.type);

/** Returns what a model may think of an answer that became shorter: less than all of it. */
function limitThinking(thinking: unknown, limit: number): Fields {
  const { budget_tokens: budget } = toFields(thinking);
  if (typeof budget !== 'number' || budget < limit) return {};
  if (limit <= MIN_THINKING_TOKENS) return { thinking: { type: 'disabled' } };
  return { thinking: { ...toFields(thinking), budget_tokens: limit - 1 } };
}

/** Asks upstream for messages, which are always reported with their usage. */
const REQUEST_CODEC: RequestCodec = {
  path: '/messages',
  estimatePrompt: estimateMessages,
  limitOutput: ({ max_tokens: requested, thinking }) => {
    const maxTokens = typeof requested === 'number' ? requested : 1;
    return {
      // An answer of 0 tokens only fills the cache, and is held for as if it had one.
      wantedTokens: Math.max(maxTokens, 1),
      isRequested: true,
      isUnbounded: false,
      toUpstreamLimits: (grantedTokens) => {
        if (grantedTokens >= maxTokens) return { max_tokens: maxTokens };
        return { max_tokens: grantedTokens, ...limitThinking(thinking, grantedTokens) };
      },
    };
  },
  toUpstreamBody: (body, { isStreaming }) => ({ ...body, stream: isStreaming }),
};

/** How one request in Anthropic's format is to be answered. */
interface AnthropicCodecOptions {
  /** Header fields of Anthropic's that go upstream. */
  readonly headers: Readonly<Record<string, string>>;
  readonly requestId: string;
}

/** Builds Anthropic's answers: upstream's events by their names, and its `message_stop` once they are settled. */
export function createAnthropicCodec({ headers, requestId }: AnthropicCodecOptions): Codec {
  const reader = createAnthropicReader();
  const toErrorEvent = (error: ApiError) => formatNamedEvent({ ...toAnthropicError(error, requestId), type: 'error' });
  return {
    ...REQUEST_CODEC,
    ...reader,
    headers,
    isStateless: false,
    isEndMark: (data) => data === DONE_MARK,
    shouldForward: ({ hasContent }) => hasContent,
    finalEvents: ({ stopReason, lastEvent }) => {
      if (stopReason?.kind === 'fault') return toErrorEvent(stopReason.error);
      if (stopReason?.kind === 'quota') {
        return toErrorEvent(new ApiError('INSUFFICIENT_TOKENS', { sentence: QUOTA_SENTENCE }));
      }
      if (lastEvent !== '') return lastEvent;
      if (reader.isFinished()) return formatNamedEvent({ type: 'message_stop' });
      return toErrorEvent(new ApiError('UPSTREAM_FAILED'));
    },
    toBody: ({ text }) => text,
  };
}
