import type { Readable } from 'node:stream';
import type { FastifyBaseLogger } from 'fastify';
import { ApiError } from '../../platform/errors.js';
import type { Chat } from './chat.js';
import type { Generation } from './completion.js';
import { type ChunkFacts, factsOf } from './formats/openai/chunk.js';
import type { Settlement } from './metering/chat-meter.js';
import { release } from './metering/settlement.js';

/** Longest answer in bytes: images may be in it. */
const MAX_ANSWER_BYTES = 32 * 1024 * 1024;

/** An answer that came whole, and how it was settled. */
export interface WholeAnswer {
  /** Upstream's JSON as it came. */
  readonly text: string;
  readonly settlement: Settlement;
}

async function textOf(body: Readable): Promise<string> {
  const pieces: Buffer[] = [];
  let length = 0;
  for await (const chunk of body) {
    const piece = Buffer.from(chunk);
    length += piece.length;
    if (length > MAX_ANSWER_BYTES) throw new Error('the answer is too long');
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString('utf8');
}

async function readAnswer(body: Readable): Promise<{ text: string; facts: ChunkFacts }> {
  const text = await textOf(body);
  const facts = factsOf(text);
  if (facts === undefined || facts.isError || !facts.hasChoices) throw new Error('upstream answered an error');
  return { text, facts };
}

/**
 * Reads an answer that comes whole and settles it, also when nobody waits for it any more.
 * @throws {ApiError} UPSTREAM_FAILED, SERVER_STOPPING: nothing came, and nothing is billed
 */
export async function takeWholeAnswer(
  chat: Chat,
  { hold, tally, answer }: Generation,
  log: FastifyBaseLogger,
): Promise<WholeAnswer> {
  const read = await readAnswer(answer).catch(async (cause: unknown) => {
    await release(chat.settle, hold.id, log);
    throw new ApiError(chat.running.cutOff.aborted ? 'SERVER_STOPPING' : 'UPSTREAM_FAILED', { cause });
  });
  tally.observe(read.facts);
  return { text: read.text, settlement: await chat.settle(hold.id, await tally.bill()) };
}
