import pg from 'pg';
import { DataApiError } from './data-api-error.js';

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
}

/** Tells a database that is frozen, and a session that is, from one that is slow. */
export interface Pulse {
  /**
   * Watches a call until it ends.
   * @param call is given what to tell once a session was sent the call; undefined for one that is a pooler's
   * @throws {DataApiError} 503 PGRST001 within 3 s where Postgres answers nobody, or that session never got the call
   */
  readonly watch: <T>(call: (onSent: (session: SentTo | undefined) => void) => Promise<T>) => Promise<T>;
  readonly close: () => Promise<void>;
}

/** How long a call may take before somebody asks after Postgres, and how long the answer may take, in milliseconds. */
const ASK_AFTER_MS = 800;
const ANSWER_MS = 1_500;
/** How soon late calls are looked for, and how soon again after an answer. */
const TICK_MS = 400;
const PAUSE_MS = 1_000;
/** How long the connection is kept when nobody is late any more. */
const KEPT_MS = 10_000;

/** Sessions that wait for a statement, though they were sent one: they are stopped, or cut off. */
const IDLE = `
  select a.pid from pg_catalog.pg_stat_activity a
   where a.pid = any ($1) and a.state = 'idle' and a.state_change < clock_timestamp() - interval '0.5 s'`;

const createSilence = () => new DataApiError(503, 'PGRST001', 'Database client error', { details: 'no sign of life' });

/** Opens the connection on which Postgres is asked. @returns asks which of these sessions are idle; undefined for no answer */
function createInquiry(connectionString: string) {
  let client: pg.Client | undefined;

  const close = async (): Promise<void> => {
    const last = client;
    client = undefined;
    await last?.end();
  };

  const query = async (sessions: readonly number[]): Promise<number[]> => {
    if (client === undefined) {
      client = new pg.Client({ connectionString, application_name: 'tokenledger pulse' });
      client.on('error', () => {});
      await client.connect();
    }
    const { rows } = await client.query<{ pid: number }>(IDLE, [sessions]);
    return rows.map(({ pid }) => pid);
  };

  const ask = async (sessions: readonly number[]): Promise<number[] | undefined> => {
    let timer: NodeJS.Timeout | undefined;
    const silence = new Promise<undefined>((resolve) => {
      timer = setTimeout(() => resolve(undefined), ANSWER_MS);
    });
    // A refusal is an answer, too: the calls get their own.
    const answer = query(sessions).catch(() => {
      void close().catch(() => {});
      return [];
    });
    const idle = await Promise.race([answer, silence]);
    clearTimeout(timer);
    // Whoever does not answer does not say good-bye either.
    if (idle === undefined) void close().catch(() => {});
    return idle;
  };

  return { ask, close };
}

/** Creates the pulse of a database. It asks nothing while calls are quick. */
export function createPulse(connectionString: string): Pulse {
  const running = new Set<Running>();
  const inquiry = createInquiry(connectionString);
  let isFrozen = false;
  let timer: NodeJS.Timeout | undefined;
  let askedAt = 0;

  /** Asks after Postgres where somebody waits for it. @returns whether it did */
  const examine = async (): Promise<boolean> => {
    const late = [...running].filter(({ since }) => performance.now() - since > ASK_AFTER_MS);
    if (late.length === 0 && !isFrozen) return false;
    askedAt = performance.now();
    const idle = await inquiry.ask(late.flatMap(({ session }) => session?.processId ?? []));
    isFrozen = idle === undefined;
    // Others have ended meanwhile, and their sessions may be at work for somebody else.
    const watched = isFrozen ? [...running] : late.filter((call) => running.has(call));
    for (const { reject, session } of watched) {
      const isSilent = session !== undefined && idle?.includes(session.processId) === true;
      if (isFrozen || isSilent) reject(createSilence());
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
      if (isFrozen) return Promise.reject(createSilence());
      return new Promise((resolve, reject) => {
        const entry: Running = { reject, since: performance.now(), session: undefined };
        running.add(entry);
        timer ??= setTimeout(() => void tick(), TICK_MS).unref();
        const onSent = (session: SentTo | undefined) => {
          entry.since = performance.now();
          entry.session = session;
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
