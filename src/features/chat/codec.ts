import type { ApiError } from '../../platform/errors.js';
import type { Fields } from './json-fields.js';
import type { Settlement, UsageReport } from './metering/chat-meter.js';
import type { PromptEstimate } from './metering/prompt-estimate.js';
import type { OutputLimit } from './metering/request-estimate.js';
import type { Chunk } from './metering/usage-accumulator.js';

/** What a request is written for. */
export interface UpstreamOptions {
  readonly isStreaming: boolean;
  /** Whether upstream takes OpenRouter's own fields. */
  readonly isOpenRouter: boolean;
}

/** How a wire format asks upstream. */
export interface RequestCodec {
  /** Where upstream serves the format, below its base URL, as in `/chat/completions`. */
  readonly path: string;
  /** Header fields upstream needs besides the usual ones. */
  readonly headers?: Readonly<Record<string, string>>;
  /**
   * Estimates what a request carries.
   * @param remoteTokens tokens of an attachment that is only named by its address
   */
  readonly estimatePrompt: (body: Fields, remoteTokens: number) => PromptEstimate;
  /**
   * Finds out how long the answer may become.
   * @param modelLimit most tokens the model can answer with, where that is known
   */
  readonly limitOutput: (body: Fields, isStreaming: boolean, modelLimit: number | undefined) => OutputLimit;
  /** Returns a request with what the server adds to it besides model and limits, so that usage is always reported. */
  readonly toUpstreamBody: (body: Fields, options: UpstreamOptions) => Fields;
}

/** What an object of upstream's is: the data of an event, or an answer that came whole. */
export type Reading =
  /** A part of the answer, or all of it. */
  | {
      readonly kind: 'chunk';
      readonly chunk: Chunk;
      /** The `event` field it is passed on with, in formats whose events have names. */
      readonly eventName?: string | undefined;
      /** Whether it ends the stream: then it is kept back until the answer is settled. */
      readonly isLast?: boolean;
    }
  /** Nothing, sent to keep the connection open. */
  | { readonly kind: 'ping' }
  /** An error, or what was not understood. */
  | {
      readonly kind: 'fault';
      readonly error: ApiError;
      /** What it tells all the same of what was used. */
      readonly chunk: Chunk | undefined;
      /** Whether nothing of the answer can follow. */
      readonly isLast?: boolean;
    };

/** Why a stream stopped before its own end. */
export type StopReason = { readonly kind: 'fault'; readonly error: ApiError } | { readonly kind: 'quota' };

/** How a stream ended, and what it came to. */
export interface StreamEnd {
  readonly stopReason: StopReason | undefined;
  readonly report: UsageReport;
  /** Undefined where settling takes too long. */
  readonly settlement: Settlement | undefined;
  /** Upstream's event that ended the stream, to be passed on now; empty where there was none, or where it stopped. */
  readonly lastEvent: string;
}

/** An answer that came whole, and how it was settled. */
export interface WholeAnswer {
  /** Upstream's JSON as it came. */
  readonly text: string;
  readonly settlement: Settlement;
}

/** How a wire format reads upstream's answers, and what it writes of its own. It may remember what it has read. */
export interface AnswerCodec {
  /** Whether what it says of an event depends on that event alone. */
  readonly isStateless: boolean;
  /** Returns whether an event's data is a mark that ends a stream and no part of the answer. */
  readonly isEndMark: (data: string) => boolean;
  readonly readEvent: (data: Fields) => Reading;
  readonly readAnswer: (answer: Fields) => Reading;
  readonly shouldForward: (chunk: Chunk) => boolean;
  /** Returns the events that follow upstream's, including the end mark. */
  readonly finalEvents: (end: StreamEnd) => string;
  /** Returns the response body of an answer that came whole. */
  readonly toBody: (answer: WholeAnswer) => string | object;
}

/** A wire format, for one request: all that the way from hold to settlement does not know about it. */
export interface Codec extends RequestCodec, AnswerCodec {}
