import type { FastifyRequest } from 'fastify';
import type { ApiError } from '../errors.js';

/** How often the same outage is written down. */
const INTERVAL_MS = 1_000;
/** More kinds than there are; what an outage says might hold a number. */
const MOST_KINDS = 100;

interface Told {
  readonly at: number;
  omitted: number;
}

/** What each server told lately, by what was wrong. */
const toldBy = new WeakMap<object, Map<string, Told>>();

/**
 * Tells whether an outage is to be written down now.
 * @returns how many like it were not since the last one that was; undefined where this is another of them
 */
function countOmitted(server: object, kind: string): number | undefined {
  const told = toldBy.get(server) ?? new Map<string, Told>();
  toldBy.set(server, told);
  const now = performance.now();
  const last = told.get(kind);
  if (last !== undefined && now - last.at < INTERVAL_MS) {
    last.omitted += 1;
    return undefined;
  }
  if (told.size >= MOST_KINDS) told.clear();
  told.set(kind, { at: now, omitted: 0 });
  return last?.omitted ?? 0;
}

/**
 * Logs what the server is at fault for. What passes by itself is told once a second: whole crowds of requests fail in the
 * same way then, and to write each down with its stack would take from the few that can be answered.
 */
export function logFault(request: FastifyRequest, error: ApiError, isPassing: boolean): void {
  const err = error.cause ?? error;
  const kind = err instanceof Error ? err.message : error.code;
  const omitted = isPassing ? countOmitted(request.server.server, kind) : 0;
  if (omitted === undefined) return;
  request.log.error({ err, ...(omitted > 0 && { omitted }) }, 'request failed');
}
