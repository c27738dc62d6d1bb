import { randomUUID } from 'node:crypto';
import pg from 'pg';
import t from 'tap';
import { registerUser, type TestUser } from '../helpers/accounts.js';
import { openTestServer } from '../helpers/test-server.js';
import { until } from '../helpers/until.js';

const server = await openTestServer(t);
const { sql } = server.database;
const owner = new pg.Client({ connectionString: server.database.adminUrl });
await owner.connect();
t.after(() => owner.end());

/** What a stranger does at the very moment the owner of the address takes the account over. */
const MOVES: Readonly<Record<string, (stranger: TestUser) => ReturnType<TestUser['as']>>> = {
  'logs in': ({ email, password }) =>
    server.app.inject({ method: 'POST', url: '/api/auth/login', payload: { email, password } }),
  'refreshes the tokens': ({ refreshToken }) =>
    server.app.inject({ method: 'POST', url: '/api/auth/refresh', payload: { refresh_token: refreshToken } }),
};

for (const [what, move] of Object.entries(MOVES)) {
  t.test(`a stranger who ${what} while the owner takes the account over is left outside`, async (t) => {
    const stranger = await registerUser(server);
    const identity = { provider: 'google', subject: randomUUID(), email: stranger.email, name: null, picture: null };
    await owner.query('begin');
    await owner.query('select private.resolve_external_identity($1, 0)', [JSON.stringify(identity)]);
    const moving = move(stranger);
    await until('the stranger waits for the owner', async () => {
      const waiting = await sql(`select 1 from pg_stat_activity where wait_event_type = 'Lock'`);
      return waiting.length > 0 || undefined;
    });
    await owner.query('commit');
    t.equal((await moving).statusCode, 401);
    t.strictSame(await sql('select 1 from private.sessions where user_id = $1', [stranger.id]), []);
  });
}

t.end();
