import { createServer } from 'node:net';
import type { Test } from 'tap';

/** What a pooler refuses a client with. */
export interface Refusal {
  readonly severity?: 'FATAL' | 'ERROR';
  readonly code: string;
  readonly message: string;
}

/** A pooler that lets nobody through. */
export interface RefusingPooler {
  readonly url: string;
  /** Sets what it says from now on. */
  readonly say: (refusal: Refusal) => void;
}

function toMessage(type: string, body: string): Buffer {
  const message = Buffer.alloc(5 + Buffer.byteLength(body));
  message.write(type, 0, 'latin1');
  message.writeInt32BE(message.length - 1, 1);
  message.write(body, 5);
  return message;
}

/** Opens what answers every new client with an error, as poolers do that have nothing behind them. It ends with the test. */
export async function openRefusingPooler(t: Test): Promise<RefusingPooler> {
  let refusal: Refusal = { code: '08P01', message: '' };
  const server = createServer((client) => {
    client.on('error', () => {});
    client.once('data', () => {
      const { severity = 'FATAL', code, message } = refusal;
      client.end(toMessage('E', `S${severity}\0V${severity}\0C${code}\0M${message}\0\0`));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the pooler has no port');
  return {
    url: `postgresql://anybody@127.0.0.1:${address.port}/pooled`,
    say: (next) => {
      refusal = next;
    },
  };
}

/** What each pooler says, with its code, in words of its own, and what that is. */
export const SAYINGS = [
  ['08P01', 'no more connections allowed (max_client_conn)', 'POOLER_FULL'],
  ['08P01', 'query_wait_timeout', 'POOLER_BUSY'],
  ['08P01', 'server login has been failing, try again later (server_login_retry)', 'POOLER_CUT_OFF'],
  ['08P01', 'client_login_timeout (server down)', 'POOLER_CUT_OFF'],
  ['08P01', 'server conn crashed?', 'POOLER_CUT_OFF'],
  ['08P01', 'the database system is starting up', 'POOLER_CUT_OFF'],
  ['08P01', 'password authentication failed for user "x"', 'POOLER_LOGIN'],
  ['08P01', 'no such database: pooled', 'POOLER_UNKNOWN'],
  ['08P01', 'server shutting down', 'POOLER_STOPPING'],
  ['58000', 'checkout timeout', 'POOLER_BUSY'],
  ['58000', 'connection pool for user "x" and database "y" is down', 'POOLER_CUT_OFF'],
  ['58000', 'pool is banned', 'POOLER_CUT_OFF'],
  ['57P01', 'PgDog is shutting down', 'POOLER_STOPPING'],
  ['28000', 'password for user "x" and database "y" is wrong, or the database does not exist', 'POOLER_UNKNOWN'],
  ['XX000', 'Max client connections reached', 'POOLER_FULL'],
  ['XX000', '(EMAXCONNSESSION) max clients reached in session mode, limited to pool_size: 15', 'POOLER_FULL'],
  ['XX000', '(ECHECKOUTTIMEOUT) unable to check out connection from the pool after 60000ms', 'POOLER_BUSY'],
  ['XX000', '(EDBHANDLEREXITED) DbHandler exited. Check logs for more information', 'POOLER_CUT_OFF'],
  ['XX000', 'Tenant or user not found', 'POOLER_UNKNOWN'],
] as const;
