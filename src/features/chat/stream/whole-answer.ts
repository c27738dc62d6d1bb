import { ApiError } from '../../../platform/errors.js';
import type { AnswerCodec, Reading, WholeAnswer } from '../codec.js';
import { isFields, parseJson } from '../json-fields.js';
import { hasTokens } from '../metering/evidence.js';
import { release, settleUnawaited, ZERO_USAGE } from '../metering/settlement.js';
import type { Chunk } from '../metering/usage-accumulator.js';
import { UnknownCostError } from '../openrouter/unknown-cost-error.js';
import type { Answer } from './answer.js';
import { createDataReader } from './read-data.js';
import { readEvent } from './read-event.js';
import { watchReading } from './reading-limits.js';
import { createEventScanner } from './sse.js';

/** Longest answer in bytes: images may be in it, or 2,048 vectors of 3,072 numbers in base64. */
const MAX_ANSWER_BYTES = 48 * 1024 * 1024;

/** Registers what is to be done when the client goes away. */
type OnGone = (listener: () => void) => void;

/** Upstreams keep the connection open with white space, which is nothing of the answer. */
const isBlank = (piece: Buffer) => piece.every((byte) => byte === 0x20 || (byte >= 0x09 && byte <= 0x0d));

async function readText({ body, limits }: Answer, onGone: OnGone): Promise<string> {
  let limitCause: Error | undefined;
  const watch = watchReading(limits, (cause) => {
    limitCause = cause;
    body.destroy();
  });
  onGone(watch.abandon);
  const pieces: Buffer[] = [];
  let length = 0;
  try {
    await body.read((piece) => {
      if (!isBlank(piece)) watch.heard();
      length += piece.length;
      if (length > MAX_ANSWER_BYTES) throw new Error('the answer is too long');
      pieces.push(piece);
      return false;
    });
    // Without a byte order mark, which is no part of JSON (RFC 8259, section 8.1).
    return Buffer.concat(pieces)
      .toString('utf8')
      .replace(/^\uFEFF/, '');
  } catch (error) {
    body.destroy();
    throw limitCause ?? error;
  } finally {
    watch.stop();
  }
}

/** Returns what an answer is; what is no JSON object is a fault. */
function readAnswer(text: string, codec: AnswerCodec, upstreamId: string | undefined): Reading {
  const value = parseJson(text);
  if (isFields(value)) return codec.readAnswer(value);
  const cause = new Error('upstream answered what is no JSON object');
  // JSON that was cut off is an answer that was produced.
  const isCut = /^\s*\{/.test(text);
  const error = isCut ? new UnknownCostError('UPSTREAM_FAILED', { cause, upstreamId }) : undefined;
  return { kind: 'fault', error: error ?? new ApiError('UPSTREAM_FAILED', { cause }), chunk: undefined };
}

/**
 * Receives an answer.
 * @throws {UnknownCostError} where it breaks off; then its whole hold is billed
 */
async function receive(answer: Answer, onGone: OnGone): Promise<string> {
  try {
    return await readText(answer, onGone);
  } catch (cause) {
    const { hold, settle, lost, log } = answer;
    const code = answer.abortSignal.aborted ? 'SERVER_STOPPING' : 'UPSTREAM_TIMEOUT';
    await settleUnawaited(settle, hold.id, lost, log);
    throw new UnknownCostError(code, { cause, upstreamId: lost.upstreamId });
  }
}

/** Returns how many tokens were passed on at most: all of the answer, whatever limit upstream has kept or not. */
function toPassedTokens({ hold, usage }: Answer): number {
  return Math.max(hold.outputTokens, usage.answer.lowerBound());
}

/**
 * Settles an answer that is an error: at what it reports, at all that was held where that is unknown, or at nothing.
 * @returns the error to answer: one that cost something is not to be had twice
 */
async function settleError(answer: Answer, error: ApiError, chunk: Chunk | undefined): Promise<ApiError> {
  const { hold, usage, lost, settle, log } = answer;
  if (error instanceof UnknownCostError) {
    await settleUnawaited(settle, hold.id, lost, log);
    return error;
  }
  if (chunk === undefined || !(hasTokens(chunk.usage) || chunk.text !== '')) {
    await release(settle, hold.id, log);
    return error;
  }
  usage.observe(chunk);
  return settleProduced(answer, error);
}

/** Settles what came of an answer that nobody gets. @returns the error to answer: another attempt would cost as much */
async function settleProduced(answer: Answer, error: ApiError): Promise<ApiError> {
  const { hold, usage, settle, log } = answer;
  usage.complete();
  await settleUnawaited(settle, hold.id, await usage.report(toPassedTokens(answer)), log);
  const { code, message: sentence, extras, cause } = error;
  return new ApiError(code, { sentence, extras, cause, isFinal: true });
}

const isStream = (text: string) => /^\s*(:|(data|event|id|retry):)/.test(text);

const createOtherError = () =>
  new ApiError('UPSTREAM_FAILED', { cause: new Error('upstream sent another kind of answer than it was asked for') });

/** Settles a stream that came where an answer was to come whole. @returns the error to answer */
async function settleStream(answer: Answer, text: string): Promise<ApiError> {
  const { hold, usage, settle, codec, log } = answer;
  const scanner = createEventScanner();
  const readData = createDataReader(codec);
  let error: ApiError | undefined;
  for (const event of [...scanner.push(Buffer.from(text)), ...scanner.end()]) {
    const reading = readEvent(event, codec, readData);
    if (reading.kind === 'fault') error ??= reading.error;
    if ((reading.kind === 'fault' || reading.kind === 'chunk') && reading.chunk !== undefined) {
      usage.observe(reading.chunk);
    }
  }
  if (usage.isBillable()) return settleProduced(answer, error ?? createOtherError());
  await release(settle, hold.id, log);
  return error ?? createOtherError();
}

/**
 * Reads an answer that is not said to be what was asked for, and settles it: a stream, or one that came whole.
 * @returns the error to answer
 * @throws {UnknownCostError} where it breaks off
 */
export async function settleOtherAnswer(answer: Answer, onGone: OnGone): Promise<ApiError> {
  const text = await receive(answer, onGone);
  if (isStream(text)) return settleStream(answer, text);
  const reading = readAnswer(text, answer.codec, answer.lost.upstreamId);
  if (reading.kind === 'fault') return settleError(answer, reading.error, reading.chunk);
  return settleError(answer, createOtherError(), reading.kind === 'chunk' ? reading.chunk : undefined);
}

/**
 * Reads an answer that comes whole and settles its hold, even when the client has gone.
 * @throws {ApiError} UPSTREAM_FAILED and the other errors of upstream: billed is what was produced
 * @throws {UnknownCostError} UPSTREAM_TIMEOUT, SERVER_STOPPING, UPSTREAM_FAILED: it broke off, and its whole hold is billed
 */
export async function settleWholeAnswer(answer: Answer, onGone: OnGone): Promise<WholeAnswer> {
  const { hold, usage, settle, lost, codec } = answer;
  const text = await receive(answer, onGone);
  if (isStream(text)) throw await settleStream(answer, text);
  const reading = readAnswer(text, codec, lost.upstreamId);
  if (reading.kind === 'fault') throw await settleError(answer, reading.error, reading.chunk);
  if (reading.kind === 'chunk') usage.observe(reading.chunk);
  usage.complete();
  const report = usage.isBillable() ? await usage.report(toPassedTokens(answer)) : ZERO_USAGE;
  return { text, settlement: await settle(hold.id, report) };
}
