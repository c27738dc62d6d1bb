import { Readable } from 'node:stream';
import { type Static, Type } from '@sinclair/typebox';
import type { FastifyBaseLogger } from 'fastify';
import { createLocalCounters } from '../../auth/limits/counters.js';
import { createPlaces, type Place } from '../../auth/limits/places.js';
import type { Caller } from '../../platform/database/client/caller.js';
import type { Database } from '../../platform/database/client/database.js';
import { ApiError } from '../../platform/errors.js';
import { parseEventId, type SyncState, toServerSentEvents } from './sync-events.js';

const POLL_INTERVAL_MS = 400;
const HEARTBEAT_INTERVAL_MS = 15_000;
export const MAX_STREAMS_PER_PERSON = 10;
/** A client that leaves this much unread, beyond what the network buffers, is no longer listening. */
const MAX_BUFFERED_BYTES = 1_024;
/** Clients of a server that stops reconnect after half of this to all of it, at random. */
const MAX_RETRY_MS = 2_000;

/** Tells people of changes to their settings and balances while they listen. */
export interface ChangeFeed {
  /**
   * Opens a stream of changes.
   * @param lastEventId the id of the last event the client got: changes since then come at once; without it everything
   * @param endsAt when the credential expires by itself, in milliseconds since 1970
   * @returns server-sent events; they end with the session or key, and when the server stops
   * @throws {ApiError} INVALID_TOKEN, TOO_MANY_STREAMS, SERVICE_UNAVAILABLE once the feed was closed
   */
  readonly listen: (caller: Caller, lastEventId: string | undefined, endsAt: number) => Promise<Readable>;
  /** Ends every stream, for good. */
  readonly close: () => void;
}

interface Listener {
  readonly caller: Caller;
  readonly endsAt: number;
  readonly stream: Readable;
  known: SyncState | undefined;
  writtenAt: number;
}

const ChangeSchema = Type.Object({
  position: Type.Integer(),
  live: Type.Boolean(),
  version: Type.Integer(),
  allocated: Type.Integer(),
  used: Type.Integer(),
  reserved: Type.Integer(),
});
const ChangesSchema = Type.Array(ChangeSchema);
type Change = Static<typeof ChangeSchema>;

/** Asks which listeners a change concerns; `position` is a listener's index. */
function poll(database: Database, listeners: readonly Listener[]): Promise<Change[]> {
  const p_listeners = listeners.map(({ caller, known }) => ({ ...caller, ...known }));
  return database.call('changed_states', { p_listeners }, ChangesSchema);
}

function write(listener: Listener, text: string): void {
  listener.writtenAt = performance.now();
  if (!listener.stream.push(text)) listener.stream.destroy();
}

function writeRetry(listener: Listener): void {
  write(listener, `retry: ${MAX_RETRY_MS / 2 + Math.round((Math.random() * MAX_RETRY_MS) / 2)}\n\n`);
}

/**
 * Creates the feed over a database. One poll asks for all listeners, and there is none while nobody listens; its answer
 * does not grow with listeners for whom nothing changed.
 *
 * @param places how many streams a person may have, of all servers together
 */
export function createChangeFeed(
  database: Database,
  log: FastifyBaseLogger,
  places = createPlaces(createLocalCounters().add, 'streams', MAX_STREAMS_PER_PERSON),
): ChangeFeed {
  const listeners = new Set<Listener>();
  let timer: NodeJS.Timeout | undefined;
  let isFailing = false;
  let isClosed = false;

  const end = (listener: Listener) => {
    if (listeners.delete(listener)) listener.stream.push(null);
  };
  const deliver = (listener: Listener, { live, version, allocated, used, reserved }: Change) => {
    if (!listeners.has(listener)) return;
    if (!live) return end(listener);
    const state = { version, allocated, used, reserved };
    write(listener, toServerSentEvents(state, listener.known));
    listener.known = state;
  };
  const pollAll = async () => {
    const polled = [...listeners];
    if (polled.length === 0) return;
    try {
      for (const change of await poll(database, polled)) {
        const listener = polled[change.position];
        if (listener !== undefined) deliver(listener, change);
      }
      isFailing = false;
    } catch (error) {
      if (!isFailing) log.warn({ err: error }, 'polling for changes failed');
      isFailing = true;
    }
  };
  const keepAlive = (listener: Listener) => {
    if (listener.endsAt <= Date.now()) end(listener);
    else if (listener.writtenAt + HEARTBEAT_INTERVAL_MS <= performance.now()) write(listener, ':\n\n');
  };
  const schedule = () => {
    timer ??= setTimeout(async () => {
      await pollAll();
      await places.renew();
      for (const listener of listeners) keepAlive(listener);
      timer = undefined;
      if (listeners.size > 0) schedule();
    }, POLL_INTERVAL_MS);
  };

  const open = async (caller: Caller, lastEventId: string | undefined, endsAt: number, place: Place) => {
    const stream = new Readable({ highWaterMark: MAX_BUFFERED_BYTES, read: () => {} });
    const listener: Listener = { caller, endsAt, stream, known: parseEventId(lastEventId), writtenAt: 0 };
    const [change] = isClosed ? [] : await poll(database, [listener]);
    // Checked only now, as nothing is awaited between here and adding the listener.
    if (isClosed) throw new ApiError('SERVICE_UNAVAILABLE');
    if (change?.live === false) throw new ApiError('INVALID_TOKEN');
    // Where limits are off, each server still has its own.
    const others = [...listeners].filter((other) => other.caller.id === caller.id);
    if (others.length >= MAX_STREAMS_PER_PERSON) throw new ApiError('TOO_MANY_STREAMS');
    listeners.add(listener);
    stream.once('close', () => {
      listeners.delete(listener);
      place.leave();
    });
    writeRetry(listener);
    if (change !== undefined) deliver(listener, change);
    schedule();
    return stream;
  };

  return {
    listen: async (caller, lastEventId, endsAt) => {
      const place = await places.take(caller.id);
      if (place === undefined) throw new ApiError('TOO_MANY_STREAMS');
      try {
        return await open(caller, lastEventId, endsAt, place);
      } catch (error) {
        place.leave();
        throw error;
      }
    },
    close: () => {
      isClosed = true;
      clearTimeout(timer);
      for (const listener of listeners) end(listener);
    },
  };
}
