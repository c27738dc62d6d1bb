import { findErrorCode } from './error-code.js';

/** What a pooler in front of the database cannot do, and what that means to whoever runs it. */
const MEANINGS = {
  POOLER_FULL: 'the pooler takes no more clients: raise its limit, or lower DATABASE_POOL_SIZE',
  POOLER_BUSY: 'the pooler had no free session in time: all of its sessions are at work',
  POOLER_SILENT: 'the pooler gives no answer: all of its sessions are at work, or the database behind it is frozen',
  POOLER_CUT_OFF: 'the pooler has no connection to the database: its own log says why',
  POOLER_STOPPING: 'the pooler is stopping or paused',
  POOLER_LOGIN: 'the pooler, or the database behind it, refuses this user or password',
  POOLER_UNKNOWN: 'the pooler does not know this user or database',
} as const;

/** Names what a pooler cannot do. */
export type PoolerProblem = keyof typeof MEANINGS;

/** What waiting does not mend. */
const LASTING: ReadonlySet<string> = new Set(['POOLER_LOGIN', 'POOLER_UNKNOWN']);

/**
 * What poolers say, the more special first: PgBouncer (08P01), PgDog (58000) and Supavisor (XX000, with codes of its own in
 * the text). Each uses one SQLSTATE for nearly everything, so that only the text tells.
 */
const SAYINGS: readonly (readonly [said: RegExp, problem: PoolerProblem])[] = [
  [
    /no more connections allowed|client connections exceeded|EMAXCONN|MaxClients|max client connections/i,
    'POOLER_FULL',
  ],
  [/query_wait_timeout|checkout timeout|ECHECKOUTTIMEOUT|ECHECKOUTRETRIES|unable to check ?out/i, 'POOLER_BUSY'],
  [/no such (?:database|user)|tenant or user not found|ENOTFOUND|ENOIDENTIFIER/i, 'POOLER_UNKNOWN'],
  [/is wrong, or the database does not exist/, 'POOLER_UNKNOWN'],
  [/login rejected|EWRONGPASSWORD/, 'POOLER_LOGIN'],
  [/shutting down|suspend_timeout|pause failed|is disabled|EPOOLTERMINATING|pool is shut down/i, 'POOLER_STOPPING'],
  [/server_login_retry|server down|conn crashed|server login failed|cannot connect/i, 'POOLER_CUT_OFF'],
  [/" is down$|connect timeout|all replicas down|no primary|pool is|server error|cluster start/, 'POOLER_CUT_OFF'],
  [/ECHECKOUTFAILED|ECIRCUITBREAKER|EDBHANDLEREXITED|EPROXY|DbHandler|connection to database closed/, 'POOLER_CUT_OFF'],
];
/** What Postgres says to PgBouncer, which hands it on as its own. */
const HANDED_ON: readonly (readonly [said: RegExp, problem: PoolerProblem])[] = [
  [/authentication failed|no pg_hba|is not permitted to log in|does not exist/, 'POOLER_LOGIN'],
  [/the database system is|too many clients already|connection slots/, 'POOLER_CUT_OFF'],
];
const PGBOUNCER = '08P01';
/** SQLSTATEs of poolers, and Postgres' own that they use as well. */
const SQLSTATES: ReadonlySet<string> = new Set(['08P01', '08006', '58000', 'XX000', '57P01', '57P05', '28000']);

/** Returns what a pooler says with an error; undefined for an error that is not a pooler's. */
export function findPoolerProblem(error: unknown): PoolerProblem | undefined {
  const code = findErrorCode(error);
  if (!(error instanceof Error) || code === undefined || !SQLSTATES.has(code)) return undefined;
  const sayings = code === PGBOUNCER ? [...HANDED_ON, ...SAYINGS] : SAYINGS;
  return sayings.find(([said]) => said.test(error.message))?.[1];
}

/** Returns what a pooler's problem means. */
export function describePoolerProblem(problem: PoolerProblem): string {
  return MEANINGS[problem];
}

/** Tells whether a code is that of a pooler's problem. */
export function isPoolerProblem(code: string): code is PoolerProblem {
  return code in MEANINGS;
}

/** Tells whether a code is that of a pooler's problem that passes by itself. */
export function isPassingPoolerProblem(code: string): boolean {
  return isPoolerProblem(code) && !LASTING.has(code);
}
