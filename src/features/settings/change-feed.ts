import { Readable } from 'node:stream';
import { type Static, Type } from '@sinclair/typebox';
import type { FastifyBaseLogger } from 'fastify';
import type { Caller } from '../../platform/database/client/caller.js';
import type { Database } from '../../platform/database/client/database.js';
import { ApiError } from '../../platform/errors.js';
import { eventsOf, type SyncState, stateOfEventId } from './events.js';

const LOOK_MS = 400;
const HEARTBEAT_MS = 15_000;
const STREAMS_PER_PERSON = 10;
/** A client that leaves this much unread, beyond what the network holds, is not listening. */
const UNREAD_BYTES = 1_024;
/** Clients of a server that stops come back spread over this time. */
const RETRY_MS = 2_000;

/** Tells people of changes of their settings and balances while they listen. */
export interface ChangeFeed {
  /**
   * Begins to listen.
   * @param lastEventId the id of the last event the client got: it is told at once what changed since, or everything
   * @param endsAt when the credential is over by itself, in milliseconds since 1970
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

/**
 * Builds the feed over a database. It asks for all listeners at once, and not at all while there are none; what is
 * answered does not grow with those for whom nothing changed.
 */
export function createChangeFeed(database: Database, log: FastifyBaseLogger): ChangeFeed {
  const listeners = new Set<Listener>();
  let timer: NodeJS.Timeout | undefined;
  let isFailing = false;
  let isClosed = false;

  const look = async (asked: readonly Listener[]): Promise<Change[]> => {
    const p_listeners = asked.map(({ caller, known }) => ({ ...caller, ...known }));
    return await database.call('changed_states', { p_listeners }, ChangesSchema);
  };
  const end = (listener: Listener) => {
    if (listeners.delete(listener)) listener.stream.push(null);
  };
  const write = (listener: Listener, text: string) => {
    listener.writtenAt = Date.now();
    if (!listener.stream.push(text)) listener.stream.destroy();
  };
  const deliver = (listener: Listener, { live, version, allocated, used, reserved }: Change) => {
    if (!listeners.has(listener)) return;
    if (!live) return end(listener);
    const state = { version, allocated, used, reserved };
    write(listener, eventsOf(state, listener.known));
    listener.known = state;
  };
  const lookForAll = async () => {
    const asked = [...listeners];
    if (asked.length === 0) return;
    try {
      for (const change of await look(asked)) {
        const listener = asked[change.position];
        if (listener !== undefined) deliver(listener, change);
      }
      isFailing = false;
    } catch (error) {
      if (!isFailing) log.warn({ err: error }, 'looking for changes failed');
      isFailing = true;
    }
  };
  const schedule = () => {
    timer ??= setTimeout(async () => {
      await lookForAll();
      for (const listener of listeners) {
        if (listener.endsAt <= Date.now()) end(listener);
        else if (listener.writtenAt + HEARTBEAT_MS <= Date.now()) write(listener, ':\n\n');
      }
      timer = undefined;
      if (listeners.size > 0) schedule();
    }, LOOK_MS);
  };

  return {
    listen: async (caller, lastEventId, endsAt) => {
      const stream = new Readable({ highWaterMark: UNREAD_BYTES, read: () => {} });
      const listener: Listener = { caller, endsAt, stream, known: stateOfEventId(lastEventId), writtenAt: 0 };
      const [change] = isClosed ? [] : await look([listener]);
      // Only here, as nothing is awaited between this and their being one of the listeners.
      if (isClosed) throw new ApiError('SERVICE_UNAVAILABLE');
      if (change?.live === false) throw new ApiError('INVALID_TOKEN');
      const others = [...listeners].filter((other) => other.caller.id === caller.id);
      if (others.length >= STREAMS_PER_PERSON) throw new ApiError('TOO_MANY_STREAMS');
      listeners.add(listener);
      stream.once('close', () => listeners.delete(listener));
      write(listener, `retry: ${RETRY_MS / 2 + Math.round((Math.random() * RETRY_MS) / 2)}\n\n`);
      if (change !== undefined) deliver(listener, change);
      schedule();
      return stream;
    },
    close: () => {
      isClosed = true;
      clearTimeout(timer);
      for (const listener of listeners) end(listener);
    },
  };
}
