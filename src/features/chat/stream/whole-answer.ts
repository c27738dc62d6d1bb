import type { Readable } from 'node:stream';
import { ApiError } from '../../../platform/errors.js';
import type { Settlement } from '../metering/chat-meter.js';
import { hasTokens } from '../metering/evidence.js';
import { release, ZERO_USAGE } from '../metering/settlement.js';
import type { Chunk } from '../metering/usage-accumulator.js';
import type { Answer } from './relay.js';

/** Longest answer in bytes: images may be in it. */
const MAX_ANSWER_BYTES = 32 * 1024 * 1024;

/** An answer that came whole, and how it was settled. */
export interface WholeAnswer {
  /** Upstream's JSON as it came. */
  readonly text: string;
  readonly settlement: Settlement;
}

async function readText(body: Readable): Promise<string> {
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

/** Reads an answer. @throws where it is cut off, is no JSON object, or neither has choices nor says what it used */
async function readAnswer({ body, format }: Answer): Promise<{ text: string; chunk: Chunk }> {
  const text = await readText(body);
  const chunk = format.parseChunk(text);
  if (chunk === undefined || !(chunk.hasChoices || hasTokens(chunk.usage)))
    throw new Error('upstream answered an error');
  return { text, chunk };
}

/**
 * Reads an answer that comes whole and settles its hold, even when the client has gone.
 * @throws {ApiError} UPSTREAM_FAILED, SERVER_STOPPING: no answer came; what upstream counts all the same is billed
 */
export async function settleWholeAnswer(answer: Answer): Promise<WholeAnswer> {
  const { hold, usage, settle, abortSignal, log } = answer;
  const { text, chunk } = await readAnswer(answer).catch(async (cause: unknown) => {
    await release(settle, hold.id, log);
    throw new ApiError(abortSignal.aborted ? 'SERVER_STOPPING' : 'UPSTREAM_FAILED', { cause });
  });
  usage.observe(chunk);
  usage.complete();
  // Whatever limit upstream has kept or not: all of the answer is passed on.
  const passedTokens = Math.max(hold.outputTokens, usage.answer.lowerBound());
  const report = usage.isBillable() ? await usage.report(passedTokens) : ZERO_USAGE;
  const settlement = await settle(hold.id, report);
  if (chunk.isError) throw new ApiError('UPSTREAM_FAILED', { cause: new Error('upstream answered an error') });
  return { text, settlement };
}
