import pg from 'pg';
import { StartupError } from '../../config/startup-error.js';
import { DatabaseError } from './client/database-error.js';
import { describeConnectionProblem, describeOutage } from './connection-problem.js';

/** What the driver says of a connection that failed, where it has no code for it. */
const BROKEN = /^(?:Connection terminated|timeout expired|The server does not support SSL)/;
/** SQLSTATEs of a connection that was refused, cut off or not to be had. */
const REFUSED = /^(?:08|28|3D|53300|55000|57P)/;
/** The system's and the driver's codes of the same. */
const BROKEN_CODE = /^(?:ECONN|ETIMEDOUT|EHOST|ENET|ENOTFOUND|EAI_|EPIPE)|CERT|SIGNATURE|TLS/;

/** Returns the error of the driver or the system among the causes of an error. */
function findDriverError(error: unknown): Error | undefined {
  if (!(error instanceof Error)) return undefined;
  return 'code' in error || BROKEN.test(error.message) ? error : findDriverError(error.cause);
}

/** Tells whether the connection failed, and not what was asked of the database. */
function isConnectionProblem(error: Error): boolean {
  if (error instanceof pg.DatabaseError) return REFUSED.test(error.code ?? '');
  return BROKEN.test(error.message) || ('code' in error && BROKEN_CODE.test(String(error.code)));
}

/**
 * Says in a sentence why a connection to a database failed, without its address, user or password; undefined where
 * something else did.
 * @param what is to be checked: `DATABASE_URL`
 */
export function describeFailedConnection(error: unknown, what: string): string | undefined {
  const failed = findDriverError(error);
  if (failed === undefined || !isConnectionProblem(failed)) return undefined;
  const reason = 'code' in failed ? describeConnectionProblem(failed) : failed.message;
  return `The database cannot be reached; check ${what} (${reason})`;
}

/**
 * Says in a sentence why a program failed, where that is foreseen, or between it and its database or disk; else undefined. Values
 * of rows, which Postgres quotes in details, are not in it.
 */
export function describeFailure(error: unknown): string | undefined {
  if (error instanceof StartupError) return error.message;
  if (error instanceof DatabaseError) {
    return error.isUnavailable ? describeOutage(error) : `The database refused: ${error.message} (${error.code})`;
  }
  const connection = describeFailedConnection(error, 'DATABASE_URL');
  if (connection !== undefined) return connection;
  const failed = findDriverError(error);
  if (failed instanceof pg.DatabaseError) {
    const where = failed !== error && error instanceof Error ? `${error.message}: ` : 'The database refused: ';
    return `${where}${failed.message} (${failed.code})`;
  }
  if (failed === undefined || !('syscall' in failed) || !('code' in failed)) return undefined;
  if (failed.code === 'ENOSPC') return 'No space is left on the disk (ENOSPC)';
  return `${'path' in failed ? failed.path : 'A file'} cannot be used (${failed.code})`;
}
