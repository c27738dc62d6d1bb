import type { Codec } from '../../codec.js';
import { estimatePrompt } from '../../metering/prompt-estimate.js';
import { createOutputLimit } from '../../metering/request-estimate.js';
import { formatFinalEvents, type ResponseProgress } from './final-events.js';
import { findResponse, readResponse, readResponseEvent } from './reading.js';
import { createWrittenText } from './written-text.js';

/** Fewest tokens OpenAI takes as the limit of an answer. */
const FEWEST_OUTPUT_TOKENS = 16;

/** Builds the codec of one request in the Responses format (OpenAI API reference, "Responses"). */
export function createResponsesCodec(model: string): Codec {
  const written = createWrittenText();
  let progress: ResponseProgress = { response: undefined, sequenceNumber: -1 };

  return {
    path: '/responses',
    estimatePrompt: ({ instructions, input, prompt, tools, text }, remoteTokens) => {
      const messageCount = Array.isArray(input) ? input.length : 1;
      return estimatePrompt(
        { contents: [instructions, input, prompt], schemas: [tools, text], messageCount },
        remoteTokens,
      );
    },
    limitOutput: (body, isStreaming, modelLimit) => {
      const options = { body, isStreaming, modelLimit };
      return createOutputLimit({ ...options, limitNames: ['max_output_tokens'], fewestTokens: FEWEST_OUTPUT_TOKENS });
    },
    // What is not said is stored at OpenAI.
    toUpstreamBody: (body, { isStreaming }) => ({ store: false, ...body, stream: isStreaming }),
    isStateless: false,
    isEndMark: () => false,
    readEvent: (event) => {
      const { sequence_number: number } = event;
      progress = {
        response: findResponse(event) ?? progress.response,
        sequenceNumber: typeof number === 'number' ? number : progress.sequenceNumber + 1,
      };
      return readResponseEvent(event, written.read(event));
    },
    readAnswer: readResponse,
    shouldForward: () => true,
    finalEvents: (end) => formatFinalEvents(end, progress, model),
    toBody: ({ text }) => text,
  };
}
