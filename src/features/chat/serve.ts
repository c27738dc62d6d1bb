import { PassThrough } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ApiError } from '../../platform/errors.js';
import type { Chat } from './chat.js';
import { type ChatOrder, type Generation, startGeneration } from './completion.js';
import { createAllowance } from './metering/hold-extender.js';
import { createReader } from './stream/client-stream.js';
import { relayStream, type StreamStyle } from './stream/relay.js';
import { takeWholeAnswer, type WholeAnswer } from './whole-answer.js';

/** Largest chat request, in bytes: images may be in it. */
export const CHAT_BODY_LIMIT_BYTES = 1024 * 1024;

/** How the answers of one route look. */
export interface Door {
  readonly styleOf: (generation: Generation) => StreamStyle;
  readonly bodyOf: (answer: WholeAnswer) => string | object;
}

/** @throws {ApiError} CHAT_DISABLED */
export function requireChat(chat: Chat | undefined): Chat {
  if (chat === undefined) throw new ApiError('CHAT_DISABLED');
  return chat;
}

/** Begins to pass a stream on; it ends, and is settled, by itself. */
function openStream(chat: Chat, generation: Generation, style: StreamStyle, request: FastifyRequest): PassThrough {
  const { hold, tally, answer, isOpen } = generation;
  const out = new PassThrough();
  const relayed = relayStream({
    hold,
    tally,
    style,
    body: answer,
    reader: createReader(out),
    allowance: createAllowance(chat.meter, hold, tally, isOpen),
    settle: chat.settle,
    cutOff: chat.running.cutOff,
    log: request.log,
  });
  chat.running.keep(relayed).catch((error: unknown) => {
    request.log.error({ err: error }, 'a stream broke');
    out.destroy();
  });
  return out;
}

/**
 * Answers a chat request: holds what it may cost, asks upstream, and passes the answer on, as a stream or whole.
 * @throws {ApiError} before anything was answered; nothing is billed then
 */
export function serveChat(chat: Chat, order: ChatOrder, door: Door, request: FastifyRequest, reply: FastifyReply) {
  return chat.running.begin(async () => {
    const generation = await startGeneration(chat, order, request.log);
    if (order.streaming) {
      reply.header('x-tokens-remaining', generation.hold.remaining);
      reply
        .headers({ 'cache-control': 'no-store', 'x-accel-buffering': 'no' })
        .type('text/event-stream; charset=utf-8');
      return reply.send(openStream(chat, generation, door.styleOf(generation), request));
    }
    const answer = await takeWholeAnswer(chat, generation, request.log);
    const { remaining, tokensUsed } = answer.settlement;
    reply.headers({ 'x-tokens-remaining': remaining, 'x-tokens-used': tokensUsed, 'cache-control': 'no-store' });
    reply.type('application/json; charset=utf-8');
    return reply.send(door.bodyOf(answer));
  });
}
