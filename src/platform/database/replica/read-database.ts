import { createHash } from 'node:crypto';
import { type Static, type TSchema, Type } from '@sinclair/typebox';
import type { FastifyRequest } from 'fastify';
import { LRUCache } from 'lru-cache';
import { reportRead } from '../../metrics/reads.js';
import type { Backend } from '../backend.js';
import type { Caller, DeviceCaller } from '../client/caller.js';
import type { Arguments } from '../client/database.js';
import { DatabaseError } from '../client/database-error.js';
import type { AdminRead, OwnRead } from './readable.js';
import type { Standby } from './standby.js';

/**
 * Reads that may be answered by a standby: only functions of {@link OWN_READS} and {@link ADMIN_READS} can be named. Who asks is confirmed on
 * the primary each time, and whatever the standby does not answer, the primary does.
 */
export interface Reads {
  /** Reads what is a person's or a device's own, as {@link CallerDatabase.call} does. */
  readonly forCaller: <Name extends OwnRead, Schema extends TSchema>(
    request: FastifyRequest,
    caller: Caller | DeviceCaller,
    name: Name,
    args: Arguments<Name>,
    schema: Schema,
  ) => Promise<Static<Schema>>;
  /** Reads for an admin, as {@link Database.call} does. */
  readonly forAdmin: <Name extends AdminRead, Schema extends TSchema>(
    request: FastifyRequest,
    name: Name,
    args: Arguments<Name>,
    schema: Schema,
  ) => Promise<Static<Schema>>;
}

/** The reads, and what is told of them. */
export interface ReadDatabase extends Reads {
  /** Returns by how many milliseconds what a request was answered with may be too old; undefined where no standby is set up. */
  readonly findLag: (request: FastifyRequest) => number | undefined;
  /** Remembers that whoever sends a request wrote: what they read from now on is not older. */
  readonly noteWrite: (request: FastifyRequest) => void;
  /** Returns what is read at present; undefined where no standby is set up. */
  readonly source: () => 'replica' | 'primary' | undefined;
  readonly close: () => Promise<void>;
}

type Sides = Pick<Backend, 'database' | 'callerDatabase'>;

/** Opens reads where there is no standby. */
export function createPrimaryReads({ database, callerDatabase }: Sides): ReadDatabase {
  return {
    forCaller: (_request, caller, name, args, schema) => callerDatabase.call(caller, name, args, schema),
    forAdmin: (_request, name, args, schema) => database.call(name, args, schema),
    findLag: () => undefined,
    noteWrite: () => {},
    source: () => undefined,
    close: async () => {},
  };
}

const ConfirmedSchema = Type.Object({ position: Type.Number() });
type Confirmed = Static<typeof ConfirmedSchema>;

/** What is too slow there is too slow here as well. */
const STATEMENT_TIMEOUT = '57014';
/** No connection became free in time. */
const ALL_BUSY = 'PGRST003';
/** Most senders whose last write is remembered. */
const MOST_SENDERS = 50_000;

/** Returns a name for the sender of a request that is no secret: of the credential it came with. */
function toSender({ headers }: FastifyRequest): string {
  const credential = headers.authorization ?? String(headers['x-api-key'] ?? '');
  return createHash('sha256').update(credential).digest('base64url');
}

/** Opens reads over a standby; `primary` confirms who asks, and answers what the standby does not. */
export function createStandbyReads(
  primary: Sides,
  replica: Sides,
  standby: Standby,
  close: () => Promise<void>,
): ReadDatabase {
  const lags = new WeakMap<FastifyRequest, number>();
  const writes = new LRUCache<string, number>({ max: MOST_SENDERS });

  /** Returns by how much the standby is behind for this request, or why it is not read. */
  const findLag = async (request: FastifyRequest, confirm: () => Promise<Confirmed>) => {
    if (standby.problem() !== undefined) return 'unusable';
    const at = performance.now();
    const { position } = await confirm();
    const since = writes.get(toSender(request)) ?? Number.NEGATIVE_INFINITY;
    try {
      return (await standby.findLag(position, at, since)) ?? 'behind';
    } catch (error) {
      standby.reportFailure(error);
      return 'failed';
    }
  };

  const read = async <T>(
    request: FastifyRequest,
    confirm: () => Promise<Confirmed>,
    call: (from: Sides) => Promise<T>,
  ): Promise<T> => {
    const found = await findLag(request, confirm);
    const note = (lag: number) => lags.set(request, Math.max(lag, lags.get(request) ?? 0));
    if (typeof found === 'number') {
      try {
        const answer = await call(replica);
        note(found);
        reportRead('replica', 'none');
        return answer;
      } catch (error) {
        if (!(error instanceof DatabaseError) || error.code === STATEMENT_TIMEOUT) throw error;
        // Its refusals are of what it knows, which may be too old: only the primary refuses.
        if (error.isUnavailable && !error.isTransient && error.code !== ALL_BUSY) standby.reportFailure(error);
      }
    }
    const answer = await call(primary);
    note(0);
    reportRead('primary', typeof found === 'number' ? 'failed' : found);
    return answer;
  };

  return {
    forCaller: (request, caller, name, args, schema) =>
      read(
        request,
        () => primary.callerDatabase.call(caller, 'confirm_own_read', {}, ConfirmedSchema),
        ({ callerDatabase }) => callerDatabase.call(caller, name, args, schema),
      ),
    forAdmin: (request, name, args, schema) =>
      read(
        request,
        () => primary.database.call('confirm_admin_read', { p_actor: args.p_actor }, ConfirmedSchema),
        ({ database }) => database.call(name, args, schema),
      ),
    findLag: (request) => lags.get(request),
    noteWrite: (request) => void writes.set(toSender(request), performance.now()),
    source: () => (standby.problem() === undefined ? 'replica' : 'primary'),
    close: async () => {
      standby.close();
      await close();
    },
  };
}
