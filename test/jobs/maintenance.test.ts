import { startBackgroundJobs } from '../../src/background-jobs.js';
import { parseConfig } from '../../src/config/config.js';
import { maintain } from '../../src/jobs/maintenance.js';
import { createLogger } from '../../src/platform/logging.js';
import { createApiKey, registerUser } from '../helpers/accounts.js';
import { openTestServer, testEnvironment } from '../helpers/http/test-server.js';
import t from '../helpers/run/tap.js';
import { untilTrue } from '../helpers/until.js';

const server = await openTestServer(t);
const { database } = server.backend;
const configured = (overrides: Record<string, string>) => parseConfig(testEnvironment(server.database, overrides));
const aMonthLater = () =>
  server.database.sql(`update periods set started_at = now() - interval '32 days' where closed_at is null`);

t.test('the monthly reset happens by itself only where it is configured, with the configured tokens', async (t) => {
  const device = await server.registerDevice();
  await aMonthLater();
  t.match(await maintain(database, configured({})), { ran: true, reset: false });
  const settings = configured({ MONTHLY_RESET: 'auto', DEFAULT_DEVICE_TOKENS: '80' });
  t.match(await maintain(database, settings), { ran: true, reset: true });
  t.match((await server.as(device, 'GET', `/api/devices/${device.id}/tokens`)).json(), { allocated: 80 });
  await server.verifyLedger(t);
});

t.test('a server looks after the database as soon as it starts', async (t) => {
  const device = await server.registerDevice();
  await server.as(device, 'POST', '/api/devices/check-can-use', { model_type: 'gpt-5', reserve: true });
  await server.database.sql(`update reservations set expires_at = now() - interval '1 second'`);
  const stop = await startBackgroundJobs(database, configured({}), createLogger('silent'));
  const reserved = () =>
    server.database.sql<{ reserved: string }>('select reserved from balances where subject_id = $1', [device.id]);
  await untilTrue(async () => (await reserved())[0]?.reserved === '0');
  stop();
  t.strictSame(await reserved(), [{ reserved: '0' }], 'the expired hold was given back');
  await server.verifyLedger(t);
});

t.test('sessions, refresh tokens, codes, links and keys whose time is over are removed, others stay', async (t) => {
  const ended = await registerUser(server);
  const live = await registerUser(server);
  const { sql } = server.database;
  for (const user of [ended, live]) {
    await createApiKey(user);
    await sql(
      `with flow as (
         insert into private.oauth_flows (state_hash, provider) values (sha256($1::uuid::text::bytea), 'google')
       )
       insert into private.oauth_codes (code_hash, user_id, redirect_uri)
       values (sha256($1::uuid::text::bytea), $1::uuid, 'https://id.chromiumapp.org/')`,
      [user.id],
    );
    await sql(
      `insert into private.password_resets (email, user_id, token_hash, expires_at)
       values ($1, $2, sha256(convert_to($1, 'UTF8')), now() + interval '30 minutes')
       on conflict (email) do nothing`,
      [user.email, user.id],
    );
    await sql(
      `with factor as (
         insert into private.user_second_factors (user_id, secret) values ($1, 'GEZDGNBVGY3TQOJQ') returning user_id
       ), challenge as (
         insert into private.sign_in_challenges (challenge_hash, user_id) select sha256(uuid_send(user_id)), user_id from factor
       )
       insert into private.proved_google_tokens (token_hash, user_id) select sha256(uuid_send(user_id)), user_id from factor`,
      [user.id],
    );
  }
  const past = `now() - interval '31 days'`;
  await sql(`update private.sessions set expires_at = ${past} where user_id = $1`, [ended.id]);
  await sql(`update private.api_keys set expires_at = ${past} where user_id = $1`, [ended.id]);
  await sql(`update private.password_resets set expires_at = ${past} where user_id = $1`, [ended.id]);
  await sql(`update private.oauth_codes set expires_at = ${past} where user_id = $1`, [ended.id]);
  await sql(`update private.oauth_flows set expires_at = ${past} where state_hash = sha256($1::uuid::text::bytea)`, [
    ended.id,
  ]);
  await sql(`update private.user_second_factors set created_at = ${past} where user_id = $1`, [ended.id]);
  await sql(`update private.sign_in_challenges set expires_at = ${past} where user_id = $1`, [ended.id]);
  await sql(`update private.proved_google_tokens set expires_at = ${past} where user_id = $1`, [ended.id]);
  t.match(await maintain(database, configured({})), { ran: true, ended_credentials: 7, pruned_features: 0 });
  const [row] = await sql(
    `select (select array_agg(user_id) from private.sessions) as sessions,
            (select array_agg(user_id) from private.api_keys) as keys,
            (select array_agg(user_id) from private.password_resets) as links,
            (select array_agg(user_id) from private.oauth_codes) as codes,
            (select array_agg(user_id) from private.user_second_factors) as factors,
            (select array_agg(user_id) from private.sign_in_challenges) as challenges,
            (select array_agg(user_id) from private.proved_google_tokens) as proved,
            (select count(*)::integer from private.oauth_flows) as flows,
            (select count(*)::integer from private.refresh_tokens) as refresh_tokens`,
  );
  const only = [live.id];
  const factors = { factors: only, challenges: only, proved: only };
  t.strictSame(row, { sessions: only, keys: only, links: only, codes: only, ...factors, flows: 1, refresh_tokens: 1 });
  t.equal((await live.as('GET', '/api/auth/sessions')).statusCode, 200);
  await server.verifyLedger(t);
});

t.end();
