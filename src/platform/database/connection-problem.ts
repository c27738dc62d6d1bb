import { DatabaseError } from './client/database-error.js';
import { findErrorCode } from './error-code.js';
import { describePoolerProblem, isPoolerProblem } from './pooler-problem.js';

/** What the codes of a connection that failed mean to whoever set it up. */
const MEANINGS: Readonly<Record<string, string>> = {
  '28P01': 'the password is wrong',
  '28000': 'this user may not connect, or not without encryption',
  '3D000': 'there is no such database',
  '55000': 'the database takes no connections at the moment',
  '53300': 'the database has no connection left',
  '57P03': 'the database is starting or stopping',
  ENOTFOUND: 'the host name is not known',
  EAI_AGAIN: 'the name server does not answer',
  ECONNREFUSED: 'nothing listens there',
  ECONNRESET: 'the connection was cut',
  ETIMEDOUT: 'nothing answers there',
  PGRST001: 'nothing answers there',
  PGRST003: 'nothing answers there in time',
  PGRST301: 'the key is wrong',
};
const CERTIFICATE = /CERT|SIGNATURE|SELF_SIGNED/;
/** How codes are written where only a text has them. */
const CODE_IN_TEXT = /\b(?:E[A-Z]{4,}|EAI_[A-Z]+|[A-Z]+(?:_[A-Z]+){2,})\b/;

/** Returns the code that tells most of why the database cannot be reached: the system's or Postgres' where there is one. */
export function findProblemCode({ hint, message, details, code, status }: DatabaseError): string {
  if (hint !== undefined && /^[A-Z0-9_]+$/.test(hint)) return hint;
  const inText = CODE_IN_TEXT.exec(`${message} ${details ?? ''}`)?.[0];
  return inText ?? (code === '' ? `status ${status}` : code);
}

/** Tells in a few words why the database cannot be reached: a code and what it means. No address, user or password is in it. */
export function describeConnectionProblem(error: unknown): string {
  const code = error instanceof DatabaseError ? findProblemCode(error) : findErrorCode(error);
  if (code === undefined) return 'no cause is known';
  if (isPoolerProblem(code)) return `${code}: ${describePoolerProblem(code)}`;
  const meaning = MEANINGS[code] ?? (CERTIFICATE.test(code) ? 'the certificate is not trusted' : undefined);
  return meaning === undefined ? code : `${code}: ${meaning}`;
}

/** SQLSTATEs of a statement that is not taken, as by a pooler that does not know what it is. */
const UNTAKEN_STATEMENT = /^(?:0A|22|25|26|42)/;

const DENIED_REMEDY =
  'it needs to be a member of anon, authenticated and service_role, and these the grants that migrations give them';

/** Tells in a sentence what stands between the server and its database. No address, user or password is in it. */
export function describeOutage(error: unknown): string {
  if (error instanceof DatabaseError && error.deniesServer) {
    return `The database does not let this server's user do what it must: ${DENIED_REMEDY} (${error.code}: ${error.message})`;
  }
  const code = error instanceof DatabaseError ? findProblemCode(error) : '';
  if (error instanceof DatabaseError && UNTAKEN_STATEMENT.test(code)) {
    const said = error.code === code ? error.message : error.details;
    return `The database, or a pooler before it, takes a statement of this server for wrong (${code}: ${said})`;
  }
  const problem = describeConnectionProblem(error);
  if (problem.startsWith('POOLER_')) return `The pooler before the database does not serve this server (${problem})`;
  return `The database cannot be reached; check DATABASE_URL or SUPABASE_URL and its keys (${problem})`;
}
