import pg from 'pg';
import { watchPool } from '../../metrics/pool-gauge.js';
import { RESPONSE_MARGIN_MS } from './call.js';
import { LANES, type Lane, type Shares } from './lanes.js';
import { prepareSession } from './session.js';

/** How connections are made, and how many. */
export interface PoolOptions {
  /** Postgres connection string; its role must be a member of anon, authenticated and service_role. */
  readonly connectionString: string;
  /** Most connections to Postgres where all calls share them; 10 by default. */
  readonly poolSize?: number;
  /** Connections of each lane; without it all calls share them. */
  readonly shares?: Shares;
  /** Statement time-out in milliseconds; 10,000 by default. */
  readonly statementTimeoutMs?: number;
  /** Longest wait for a connection in milliseconds; 5,000 by default. */
  readonly connectionTimeoutMs?: number;
  /** How long Postgres may say nothing before it counts as frozen, in milliseconds; 1,500 by default. */
  readonly silenceMs?: number;
  /** Called for each connection that breaks while idle. */
  readonly onConnectionError?: (error: Error) => void;
}

/** The connections of the lanes. */
export interface Pools {
  readonly of: (lane: Lane) => pg.Pool;
  readonly end: () => Promise<void>;
}

/** Has every lane share the connections of one. */
const shareAll = (general: number): Shares => ({
  metering: 'general',
  readiness: 'general',
  heavy: 'general',
  long: 'general',
  general,
});

/** How long a connection says nothing before it is kept alive, in milliseconds: networks forget silent ones. */
const KEEP_ALIVE_MS = 30_000;

function openPool(options: PoolOptions & { readonly statementTimeoutMs: number }, lane: Lane, max: number): pg.Pool {
  const connectionTimeoutMillis = options.connectionTimeoutMs ?? 5_000;
  const pool = new pg.Pool({
    connectionString: options.connectionString,
    max,
    // Whoever comes after a pause does not wait for a new session, which has everything to plan anew.
    min: lane === 'metering' ? 1 : 0,
    connectionTimeoutMillis,
    query_timeout: options.statementTimeoutMs + RESPONSE_MARGIN_MS,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_MS,
    // Idle connections must not keep the process alive.
    allowExitOnIdle: true,
    application_name: 'tokenledger',
    // The pool waits for it before it gives the connection to anybody.
    onConnect: (client) => prepareSession(client, options.statementTimeoutMs),
  });
  // Without a listener, a connection that breaks while idle would crash the process.
  pool.on('error', (error) => options.onConnectionError?.(error));
  // The same holds for a connection in use, where the pool does not listen; the call in progress reports the error.
  pool.on('connect', (client) => client.on('error', () => {}));
  return pool;
}

/** Opens the pools of the lanes; a connection is made with the first call that needs it. */
export function openPools(options: PoolOptions & { readonly statementTimeoutMs: number }): Pools {
  const shares = options.shares ?? shareAll(options.poolSize ?? 10);
  const pools = new Map<Lane, pg.Pool>();
  const open = (lane: Lane): pg.Pool => {
    const known = pools.get(lane);
    if (known !== undefined) return known;
    const share = shares[lane];
    const pool = typeof share === 'number' ? openPool(options, lane, share) : open(share);
    pools.set(lane, pool);
    return pool;
  };
  for (const lane of LANES) open(lane);
  const distinct = [...new Set(pools.values())];
  const unwatch = distinct.map(watchPool);
  return {
    of: open,
    end: async () => {
      for (const end of unwatch) end();
      await Promise.all(distinct.map((pool) => pool.end()));
    },
  };
}
