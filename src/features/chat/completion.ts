import type { Readable } from 'node:stream';
import type { FastifyBaseLogger, FastifyReply, FastifyRequest } from 'fastify';
import { reportError } from '../../platform/error-reports.js';
import { ApiError } from '../../platform/errors.js';
import { measureUpstream } from '../../platform/metrics/report.js';
import type { InFlight } from './in-flight.js';
import type { ChatMeter, Hold, Reservation } from './metering/chat-meter.js';
import { type CostGuard, findCostGuard, limitCost } from './metering/cost-guard.js';
import { createHoldExtender } from './metering/hold-extender.js';
import { release, type Settle, settleUnawaited, toLostUsage } from './metering/settlement.js';
import type { TokenCounter } from './metering/token-counter.js';
import { createUsageAccumulator } from './metering/usage-accumulator.js';
import type { Models } from './openrouter/models.js';
import { UnknownCostError } from './openrouter/unknown-cost-error.js';
import type { Upstream } from './openrouter/upstream.js';
import { type CompletionJob, hashRequest, prepareRequest } from './request/completion-job.js';
import type { Answer } from './stream/answer.js';
import { createClientStream } from './stream/client-stream.js';
import type { ReadingLimits } from './stream/reading-limits.js';
import { relayStream } from './stream/relay.js';
import { settleOtherAnswer, settleWholeAnswer } from './stream/whole-answer.js';

/** What the operator decides about chat requests. */
export interface ChatSettings {
  /** Whether requests may ask for what may cost more than tokens. */
  readonly hasExtras: boolean;
  /** Tokens held for a file that a request only names by its address. */
  readonly remoteTokens: number;
  /** What one request may cost, in nano-dollars; undefined where that is not limited. */
  readonly maxNanoUsd: number | undefined;
  /** Whether upstream takes OpenRouter's own fields. */
  readonly isOpenRouter: boolean;
}

/** What completions are served with, for as long as the application lives. */
export interface ChatServices {
  readonly settings: ChatSettings;
  readonly upstream: Upstream;
  readonly models: Models;
  readonly meter: ChatMeter;
  readonly settle: Settle;
  readonly counter: TokenCounter;
  readonly inFlight: InFlight;
  readonly limits: ReadingLimits;
}

/** A chat request that is paid for and that upstream has begun to answer. */
interface Generation extends Answer {
  /** Whether the answer may become longer than what is held for it. */
  readonly isUnbounded: boolean;
  readonly guard: CostGuard | undefined;
  /** Whether it is not said to be what was asked for. */
  readonly isOther: boolean;
}

/** Keeps caches and proxies from storing or buffering a stream. */
const STREAM_HEADERS = { 'cache-control': 'no-store', 'x-accel-buffering': 'no' };
/** Contract 4's words for an empty balance. */
const EMPTY_BALANCE = 'Insufficient tokens. Please contact support to add more tokens.';

/**
 * Returns the services of chat.
 * @throws {ApiError} CHAT_DISABLED
 */
export function requireChat(chat: ChatServices | undefined): ChatServices {
  if (chat === undefined) throw new ApiError('CHAT_DISABLED');
  return chat;
}

async function reserve(job: CompletionJob, reservation: Reservation): Promise<Hold> {
  try {
    return await job.reserve(reservation);
  } catch (error) {
    if (!(error instanceof ApiError && error.code === 'INSUFFICIENT_TOKENS')) throw error;
    throw new ApiError('INSUFFICIENT_TOKENS', { sentence: EMPTY_BALANCE, extras: error.extras });
  }
}

/** Tells the operator why upstream refused a request; faults are logged with their answer. */
function logRefusal(error: unknown, log: FastifyBaseLogger): void {
  if (!(error instanceof ApiError) || error.statusCode >= 500) return;
  log.warn({ err: error.cause, code: error.code, reason: error.extras['reason'] }, 'upstream refused a request');
}

/**
 * Takes the hold of a request, and only then sends it upstream.
 * @throws {ApiError} why it was refused, here or upstream; then nothing is billed
 * @throws {UnknownCostError} it reached upstream, and what became of it is not known; then its whole hold is billed
 */
async function startGeneration(chat: ChatServices, job: CompletionJob, log: FastifyBaseLogger): Promise<Generation> {
  const { body, model, source, isStreaming, idempotencyKey, codec } = job;
  const prompt = codec.estimatePrompt(body, chat.settings.remoteTokens);
  const guard = await findCostGuard(chat.models, chat.settings.maxNanoUsd, job, prompt.tokens);
  const limit = limitCost(codec.limitOutput(body, isStreaming, chat.models.outputLimit(model)), guard);
  const holding = reserve(job, {
    source,
    model: model.toLowerCase(),
    isStreaming,
    inputEstimate: prompt.tokens,
    outputTokens: limit.wantedTokens,
    price: chat.models.price(model),
    idempotencyKey,
    // Only a request with a key is compared with another, and hashing long ones takes longer than all else here.
    requestHash: idempotencyKey === undefined ? undefined : hashRequest(job),
  });
  const preparing = prepareRequest(job, limit, chat.settings.isOpenRouter);
  // Where it fails, that is thrown below, where the hold is given back.
  preparing.catch(() => {});
  const hold = await holding;
  const { settle, inFlight, limits } = chat;
  const { abortSignal } = inFlight;
  try {
    const request = (await preparing)(hold.outputTokens);
    const answer = await measureUpstream(chat.upstream.complete({ ...request, signal: abortSignal }));
    const usage = createUsageAccumulator(chat.counter, prompt, answer.upstreamId);
    const lost = toLostUsage(hold, prompt.tokens, answer.upstreamId);
    const { isUnbounded } = limit;
    const { body: answerBody, isOther } = answer;
    return {
      hold,
      body: answerBody,
      usage,
      lost,
      settle,
      abortSignal,
      limits,
      log,
      codec,
      isUnbounded,
      guard,
      isOther,
    };
  } catch (error) {
    logRefusal(error, log);
    if (error instanceof UnknownCostError) {
      await settleUnawaited(settle, hold.id, toLostUsage(hold, prompt.tokens, error.upstreamId), log);
    } else {
      await release(settle, hold.id, log);
    }
    throw error;
  }
}

/** Starts to pass a stream on; it ends, and is settled, without anyone waiting for it. */
function openStream(chat: ChatServices, generation: Generation): Readable {
  const { hold, usage, isUnbounded, guard, log } = generation;
  const client = createClientStream();
  const extender = createHoldExtender(chat.meter, hold, usage, isUnbounded, guard);
  const relay = relayStream({ ...generation, extender, client });
  chat.inFlight.track(relay).catch((error: unknown) => {
    log.error({ err: error }, 'a stream broke');
    reportError(error, { kind: 'stream' });
    client.body.destroy();
  });
  return client.body;
}

/**
 * Answers a chat request: holds what it may cost, asks upstream, and passes the answer on, as a stream or whole.
 * @throws {ApiError} before anything was answered; then nothing is billed, or all that was held where upstream may bill it
 */
export function serveCompletion(chat: ChatServices, job: CompletionJob, request: FastifyRequest, reply: FastifyReply) {
  return chat.inFlight.run(async () => {
    const generation = await startGeneration(chat, job, request.log);
    const onGone = (listener: () => void) => reply.raw.once('close', listener);
    if (generation.isOther) throw await settleOtherAnswer(generation, onGone);
    if (job.isStreaming) {
      reply.headers({ 'x-tokens-remaining': generation.hold.remaining, ...STREAM_HEADERS });
      reply.type('text/event-stream; charset=utf-8');
      return reply.send(openStream(chat, generation));
    }
    const answer = await settleWholeAnswer(generation, onGone);
    const { remaining, tokensUsed } = answer.settlement;
    reply.headers({ 'x-tokens-remaining': remaining, 'x-tokens-used': tokensUsed, 'cache-control': 'no-store' });
    reply.type('application/json; charset=utf-8');
    return reply.send(job.codec.toBody(answer));
  });
}
