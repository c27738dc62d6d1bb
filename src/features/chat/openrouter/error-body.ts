import { type AnswerBody, readWhole } from './answer-body.js';

const MAX_BODY_BYTES = 64 * 1024;
/** Longest wait for the body of an error: the status alone is an answer as well. */
const TIMEOUT_MS = 2_000;

/** Returns the JSON of an error answer; undefined where it has none, is too long or does not come. */
export async function readErrorBody(body: AnswerBody): Promise<unknown> {
  const timer = setTimeout(() => body.destroy(), TIMEOUT_MS);
  try {
    return JSON.parse((await readWhole(body, MAX_BODY_BYTES)).toString('utf8'));
  } catch {
    return undefined;
  } finally {
    clearTimeout(timer);
  }
}
