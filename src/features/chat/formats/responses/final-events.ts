import { ApiError } from '../../../../platform/errors.js';
import type { StreamEnd } from '../../codec.js';
import type { Fields } from '../../json-fields.js';
import type { UsageReport } from '../../metering/chat-meter.js';
import { formatData } from '../../stream/sse.js';
import { toOpenAiError } from '../openai/errors.js';

/** How far a stream has come. */
export interface ResponseProgress {
  /** The response as upstream described it last; undefined before it has. */
  readonly response: Fields | undefined;
  /** The number of the last event. */
  readonly sequenceNumber: number;
}

const QUOTA = 'The tokens ran out. Please contact support to add more tokens.';

const formatEvent = (event: Fields & { readonly type: string }) => formatData(JSON.stringify(event), event.type);

const toUsage = ({ inputTokens, outputTokens }: UsageReport) => ({
  input_tokens: inputTokens,
  input_tokens_details: { cached_tokens: 0 },
  output_tokens: outputTokens,
  output_tokens_details: { reasoning_tokens: 0 },
  total_tokens: inputTokens + outputTokens,
});

/** Returns what a response has at least, for streams that end before upstream has described theirs. */
const createResponse = (model: string, upstreamId: string | undefined) => ({
  id: upstreamId ?? 'resp_none',
  object: 'response',
  created_at: Math.floor(Date.now() / 1_000),
  incomplete_details: null,
  instructions: null,
  metadata: null,
  model,
  output: [],
  parallel_tool_calls: true,
  temperature: null,
  tool_choice: 'auto',
  tools: [],
  top_p: null,
});

/**
 * Returns the events that end a stream: upstream's own, or why it stopped before. An error comes in both forms there are:
 * clients throw at an event `error`, and others wait for a response that failed. Where the tokens ran out, what has come
 * is an answer, and the response says why it goes no further.
 */
export function formatFinalEvents(
  end: StreamEnd,
  { response, sequenceNumber }: ResponseProgress,
  model: string,
): string {
  const { stopReason, report, lastEvent } = end;
  if (stopReason === undefined) return lastEvent;
  const isFault = stopReason.kind === 'fault';
  const apiError = isFault ? stopReason.error : new ApiError('INSUFFICIENT_TOKENS', { sentence: QUOTA });
  const { error } = toOpenAiError(apiError);
  const { code, message, param } = error;
  const next = sequenceNumber + 1;
  const thrown = isFault
    ? formatEvent({ type: 'error', sequence_number: next, code, message, param, error: { ...error } })
    : '';
  const failed = {
    ...(response ?? createResponse(model, report.upstreamId)),
    status: 'failed',
    error: { code, message },
    usage: toUsage(report),
  };
  return (
    thrown + formatEvent({ type: 'response.failed', sequence_number: isFault ? next + 1 : next, response: failed })
  );
}
