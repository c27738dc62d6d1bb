import { Socket } from 'node:net';
import pg from 'pg';
import { describePoolerProblem } from '../pooler-problem.js';
import { DataApiError } from './data-api-error.js';
import { readArrived, waitRunning } from './running-time.js';

/** A session of Postgres' own that was sent a statement. */
export interface SentTo {
  readonly processId: number;
  /** Ends the connection to it, whatever it is doing. */
  readonly cutOff: () => void;
}

/** A call under way. */
interface Running {
  readonly reject: (error: DataApiError) => void;
  since: number;
  session: SentTo | undefined;
  /** Whether it is in the hands of a pooler. */
  isPooled: boolean;
}

/** Tells a database that is frozen, and a session that is, from one that is slow. */
export interface Pulse {
  /**
   * Watches a call until it ends.
   * @param call is given what to tell once a session was sent the call; undefined for one that is a pooler's
   * @throws {DataApiError} 503 PGRST001 within 3 s where Postgres answers nobody, or that session never got the call; later
   * where this process is late itself
   */
  readonly watch: <T>(call: (onSent: (session: SentTo | undefined) => void) => Promise<T>) => Promise<T>;
  readonly close: () => Promise<void>;
}

/** How long a call may take before somebody asks after Postgres, and how long it may be silent while we listen, in milliseconds. */
const ASK_AFTER_MS = 800;
const SILENCE_MS = 1_500;
/** How soon late calls are looked for, and how soon again after an answer. */
const TICK_MS = 400;
const PAUSE_MS = 1_000;
/** How long an end of the connection is waited for, in milliseconds. */
const GOODBYE_MS = 500;
/** How long the connection is kept when nobody is late any more. */
const KEPT_MS = 10_000;

/** Sessions that wait for a statement, though they were sent one: they are stopped, or cut off. */
const IDLE = `
  select a.pid from pg_catalog.pg_stat_activity a
   where a.pid = any ($1) and a.state = 'idle' and a.state_change < clock_timestamp() - interval '0.5 s'`;

const details = 'no sign of life';
const createSilence = () => new DataApiError(503, 'PGRST001', 'Database client error', { details });
/** Through a pooler nobody can tell a database that is frozen from sessions that are all at work. */
const createPoolersSilence = () =>
  new DataApiError(503, 'PGRST001', describePoolerProblem('POOLER_SILENT'), { details, hint: 'POOLER_SILENT' });

/** Opens the connection on which Postgres is asked. @returns asks which of these sessions are idle; undefined for no answer */
function createInquiry(connectionString: string, silenceMs: number) {
  let client: pg.Client | undefined;
  let socket = new Socket();

  const close = async (): Promise<void> => {
    const [last, line] = [client, socket];
    client = undefined;
    // Whoever does not answer does not say good-bye either.
    const hurry = setTimeout(() => line.destroy(), GOODBYE_MS);
    await last?.end();
    clearTimeout(hurry);
  };

  const query = async (sessions: readonly number[]): Promise<number[]> => {
    if (client === undefined) {
      socket = new Socket();
      client = new pg.Client({ connectionString, application_name: 'tokenledger pulse', stream: () => socket });
      client.on('error', () => {});
      await client.connect();
    }
    const { rows } = await client.query<{ pid: number }>(IDLE, [sessions]);
    return rows.map(({ pid }) => pid);
  };

  const ask = async (sessions: readonly number[]): Promise<number[] | undefined> => {
    const asking = new AbortController();
    // To connect takes several rounds, each of which may be slow: what comes of any is a sign of life.
    const listen = async (heard: number): Promise<undefined> => {
      await waitRunning(silenceMs, asking.signal);
      return socket.bytesRead === heard ? undefined : listen(socket.bytesRead);
    };
    // A refusal is an answer, too: the calls get their own.
    const answer = query(sessions).catch(() => {
      void close().catch(() => {});
      return [];
    });
    const idle = await Promise.race([answer, listen(socket.bytesRead)]);
    asking.abort();
    if (idle === undefined) void close().catch(() => {});
    return idle;
  };

  return { ask, close };
}

/**
 * Creates the pulse of a database. It asks nothing while calls are quick.
 * @param silenceMs how long it may say nothing before it counts as frozen; it is asked after half of that
 */
export function createPulse(connectionString: string, silenceMs = SILENCE_MS): Pulse {
  const askAfterMs = Math.max(ASK_AFTER_MS, silenceMs / 2);
  const running = new Set<Running>();
  const inquiry = createInquiry(connectionString, silenceMs);
  let isFrozen = false;
  let createRefusal = createSilence;
  let timer: NodeJS.Timeout | undefined;
  let askedAt = 0;

  /** Asks after Postgres where somebody waits for it. @returns whether it did */
  const examine = async (): Promise<boolean> => {
    const late = [...running].filter(({ since }) => performance.now() - since > askAfterMs);
    if (late.length === 0 && !isFrozen) return false;
    askedAt = performance.now();
    const idle = await inquiry.ask(late.flatMap(({ session }) => session?.processId ?? []));
    // What those sessions answered may have come together with this.
    await readArrived();
    isFrozen = idle === undefined;
    if (late.length > 0) createRefusal = late.some(({ isPooled }) => isPooled) ? createPoolersSilence : createSilence;
    // Others have ended meanwhile, and their sessions may be at work for somebody else.
    const watched = isFrozen ? [...running] : late.filter((call) => running.has(call));
    for (const { reject, session, isPooled } of watched) {
      const isSilent = session !== undefined && idle?.includes(session.processId) === true;
      if (isFrozen || isSilent) reject(isPooled ? createPoolersSilence() : createSilence());
      if (isSilent) session.cutOff();
    }
    return true;
  };

  const tick = async (): Promise<void> => {
    const hasAsked = await examine();
    const isNeeded = running.size > 0 || isFrozen || performance.now() - askedAt < KEPT_MS;
    timer = isNeeded ? setTimeout(() => void tick(), hasAsked ? PAUSE_MS : TICK_MS).unref() : undefined;
    if (!isNeeded) void inquiry.close().catch(() => {});
  };

  return {
    watch: (call) => {
      if (isFrozen) return Promise.reject(createRefusal());
      return new Promise((resolve, reject) => {
        const entry: Running = { reject, since: performance.now(), session: undefined, isPooled: false };
        running.add(entry);
        timer ??= setTimeout(() => void tick(), TICK_MS).unref();
        const onSent = (session: SentTo | undefined) => {
          entry.since = performance.now();
          entry.session = session;
          entry.isPooled = session === undefined;
        };
        call(onSent)
          .then(resolve, reject)
          .finally(() => running.delete(entry));
      });
    },
    close: async () => {
      clearTimeout(timer);
      await inquiry.close().catch(() => {});
    },
  };
}
