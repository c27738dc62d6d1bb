import type { FastifyBaseLogger } from 'fastify';
import type { AnswerCodec } from '../codec.js';
import type { Hold, UsageReport } from '../metering/chat-meter.js';
import type { HoldExtender } from '../metering/hold-extender.js';
import type { Settle } from '../metering/settlement.js';
import type { UsageAccumulator } from '../metering/usage-accumulator.js';
import type { AnswerBody } from '../openrouter/answer-body.js';
import type { ClientStream } from './client-stream.js';
import type { ReadingLimits } from './reading-limits.js';

/** An answer upstream has begun, and what settling it takes. */
export interface Answer {
  readonly hold: Hold;
  /** An event stream, or JSON. */
  readonly body: AnswerBody;
  readonly usage: UsageAccumulator;
  /** What is billed where it is not known what upstream made of the request. */
  readonly lost: UsageReport;
  readonly codec: AnswerCodec;
  readonly settle: Settle;
  /** Aborts when the answer has to end at once. */
  readonly abortSignal: AbortSignal;
  readonly limits: ReadingLimits;
  readonly log: FastifyBaseLogger;
}

/** A stream to be passed on. */
export interface Relay extends Answer {
  readonly client: ClientStream;
  readonly extender: HoldExtender;
}
