import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import type { FastifyBaseLogger } from 'fastify';
import { ApiError } from '../../platform/errors.js';
import type { Chat } from './chat.js';
import type { Reserve } from './formats/extension/reserver.js';
import type { Hold, Reservation } from './metering/chat-meter.js';
import { outputLimitOf } from './metering/output-limit.js';
import { promptOf } from './metering/request-estimate.js';
import { release } from './metering/settlement.js';
import { createTally, type Tally } from './metering/usage-accumulator.js';

/** A chat request as a door accepted it. */
export interface ChatOrder {
  readonly source: 'chat' | 'api';
  readonly reserve: Reserve;
  /** What upstream is asked, without what the server adds. */
  readonly body: Readonly<Record<string, unknown>>;
  readonly model: string;
  readonly streaming: boolean;
  readonly idempotencyKey: string | undefined;
}

/** A chat request that is paid for and that upstream has begun to answer. */
export interface Generation {
  readonly hold: Hold;
  readonly tally: Tally;
  /** An event stream, or JSON. */
  readonly answer: Readable;
  /** Whether the answer may become longer than what is held for it. */
  readonly isOpen: boolean;
  /** How many answers were asked for at once. */
  readonly answers: number;
}

/** What is sent: the request, with its limits, and asking for usage always. */
function requestOf({ body, model, streaming }: ChatOrder, limits: object): string {
  const given = body['stream_options'];
  return JSON.stringify({
    ...body,
    ...limits,
    model,
    stream: streaming,
    ...(streaming && { stream_options: { ...(typeof given === 'object' ? given : {}), include_usage: true } }),
    usage: { include: true },
  });
}

/** Contract 4's words for an empty balance. */
const EMPTY = 'Insufficient tokens. Please contact support to add more tokens.';

async function reserve(order: ChatOrder, reservation: Reservation): Promise<Hold> {
  try {
    return await order.reserve(reservation);
  } catch (error) {
    if (!(error instanceof ApiError && error.code === 'INSUFFICIENT_TOKENS')) throw error;
    throw new ApiError('INSUFFICIENT_TOKENS', { sentence: EMPTY, extras: error.extras });
  }
}

/**
 * Takes the hold of a request and sends it on. The hold stands before upstream hears of it.
 * @throws {ApiError} why it was refused, here or upstream; then nothing is billed
 */
export async function startGeneration(chat: Chat, order: ChatOrder, log: FastifyBaseLogger): Promise<Generation> {
  const { body, model, source, streaming, idempotencyKey } = order;
  const prompt = promptOf(body);
  const limit = outputLimitOf(body, streaming, chat.models.ceilingOf(model));
  const hold = await reserve(order, {
    source,
    model: model.toLowerCase(),
    inputEstimate: prompt.estimate,
    outputTokens: limit.wanted,
    idempotencyKey,
    requestHash: createHash('sha256')
      .update(JSON.stringify([source, model, body]))
      .digest('hex'),
  });
  try {
    const request = requestOf(order, limit.limitsFor(hold.outputTokens));
    const answer = await chat.upstream.complete(request, streaming, chat.running.cutOff);
    const { isOpen, answers } = limit;
    return { hold, answer, isOpen, answers, tally: createTally(chat.counter, prompt) };
  } catch (error) {
    await release(chat.settle, hold.id, log);
    throw error;
  }
}
