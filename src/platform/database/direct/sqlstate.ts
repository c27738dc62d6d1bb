/**
 * Maps Postgres error codes to HTTP statuses as PostgREST does, longest prefix first.
 * Source: PostgREST documentation, "Errors", table "HTTP Status Codes".
 */
const STATUS_BY_PREFIX: readonly (readonly [prefix: string, status: number])[] = [
  ['08', 503],
  ['09', 500],
  ['0L', 403],
  ['0P', 403],
  ['23503', 409],
  ['23505', 409],
  ['25006', 405],
  ['25', 500],
  ['28', 403],
  ['2D', 500],
  ['38', 500],
  ['39', 500],
  ['3B', 500],
  ['40', 500],
  ['53400', 500],
  ['53', 503],
  ['54', 500],
  ['55', 500],
  ['57', 500],
  ['58', 500],
  ['F0', 500],
  ['HV', 500],
  ['P0001', 400],
  ['P0', 500],
  ['XX', 500],
  ['42883', 404],
  ['42P01', 404],
  ['42P17', 500],
  // Not an SQLSTATE: asks PostgREST to take the whole answer from the error, which it refuses in any shape but its own.
  ['PGRST', 500],
];

/**
 * Returns the HTTP status of a Postgres error. `PTxyz`, raised by our own functions, is the status xyz, or 500 if that is
 * no status; a missing privilege is 401 for a caller without a token and 403 for one with a token.
 */
export function toHttpStatus(sqlstate: string, authenticated: boolean): number {
  if (sqlstate.startsWith('PT')) return /^[2-5][0-9]{2}$/.test(sqlstate.slice(2)) ? Number(sqlstate.slice(2)) : 500;
  if (sqlstate === '42501') return authenticated ? 403 : 401;
  return STATUS_BY_PREFIX.find(([prefix]) => sqlstate.startsWith(prefix))?.[1] ?? 400;
}
