import type { TestDatabase } from './test-database.js';

/** Rows of each table that grows with its users. */
export const ROWS = 10_000;

/**
 * Accounts and devices with all that belongs to them; the books add up. Without counters of log-in attempts, which last for
 * minutes: the deletion of an account looks through them.
 */
const STATEMENTS = [
  `insert into users (email, email_verified_at) select 'person-' || n || '@example.org', now() from generate_series(1, ${ROWS}) n`,
  `insert into devices (name, fingerprint_hash)
   select 'device ' || n, sha256(convert_to('fill ' || n, 'UTF8')) from generate_series(1, ${ROWS}) n`,
  `insert into balances (subject_id, subject_kind, allocated)
   select id, 'user', 1000 from users union all select id, 'device', 1000 from devices on conflict do nothing`,
  `insert into ledger_entries (subject_id, kind, amount, period, actor)
   select b.subject_id, 'grant', b.allocated, b.period, 'test' from balances b
    where not exists (select from ledger_entries e where e.subject_id = b.subject_id)`,
  `update budgets p set allocated = (select sum(b.allocated) from balances b where b.subject_kind = p.subject_kind)`,
  `insert into private.user_credentials (user_id, password_hash) select id, '$argon2id$none' from users`,
  `insert into private.sessions (user_id, expires_at) select id, now() + interval '1 day' from users`,
  `insert into private.refresh_tokens (token_hash, session_id, expires_at)
   select sha256(uuid_send(id)), id, now() + interval '1 day' from private.sessions`,
  `insert into private.proof_codes (session_id, code_hash, expires_at)
   select id, sha256(uuid_send(id)), now() + interval '1 day' from private.sessions`,
  `insert into private.api_keys (user_id, name, prefix, key_hash, scopes)
   select id, 'key', 'tlk_fill', sha256(uuid_send(id)), '{account}' from users`,
  `insert into private.external_identities (provider, subject, user_id, email) select 'google', id, id, email from users`,
  `insert into private.oauth_flows (state_hash, provider) select sha256(uuid_send(id)), 'google' from users`,
  `insert into private.oauth_codes (code_hash, user_id, redirect_uri) select sha256(uuid_send(id)), id, 'https://example.org' from users`,
  `insert into private.user_second_factors (user_id, secret) select id, 'GEZDGNBVGY3TQOJQ' from users`,
  `insert into private.user_recovery_codes (user_id, code_hash) select id, sha256(uuid_send(id)) from users`,
  `insert into private.sign_in_challenges (challenge_hash, user_id) select sha256(uuid_send(id)), id from users`,
  `insert into private.proved_google_tokens (token_hash, user_id) select sha256(uuid_send(id)), id from users`,
  `insert into private.password_resets (email, user_id, token_hash, expires_at)
   select email, id, sha256(uuid_send(id)), now() + interval '1 day' from users`,
  `insert into private.email_verifications (email, user_id, token_hash, expires_at)
   select email, id, sha256(uuid_send(id)), now() + interval '1 day' from users`,
  `insert into private.email_changes (user_id, email, token_hash, expires_at)
   select id, 'new-' || email, sha256(uuid_send(id)), now() + interval '1 day' from users`,
  `insert into private.granted_identities (digest) select sha256(uuid_send(id)) from users`,
  `insert into private.invitations (code_hash, created_by, expires_at) select sha256(uuid_send(id)), 'test', now() + interval '1 day' from users`,
  `insert into private.known_addresses (account, address) select id, '192.0.2.1' from users`,
  `insert into private.stripe_events (id, type, created_at) select 'evt_' || id, 'test', now() from users`,
  `insert into subscriptions (user_id, stripe_customer_id) select id, 'cus_' || id from users`,
  `insert into tracker_counters (user_id) select id from users`,
  `insert into settings (user_id, version) select id, 1 from users`,
  `insert into settings_entries (user_id, name, value, updated_at, claimed_at, version) select id, 'theme', '1', 1, 1, 1 from users`,
  `insert into settings_versions (user_id, version, settings, action) select id, 1, '{"theme": 1}', 'put' from users`,
  `insert into feature_events (user_id, name, occurred_at) select id, 'search', now() from users`,
  `insert into feature_rollups (user_id, bucket, name, events)
   select user_id, date_bin('15 minutes', occurred_at, 'epoch'), name, 1 from feature_events`,
  `insert into reservations (subject_id, amount, status, model, prompt_count, expires_at, created_at, closed_at)
   select id, 1, 'settled', 'gpt-5', 1, timestamptz '2001-01-01', timestamptz '2001-01-01', timestamptz '2001-01-01' from users union all
   select id, 1, 'settled', 'gpt-5', 1, '2001-01-01', '2001-01-01', '2001-01-01' from devices`,
  `insert into generations (id, subject_id, source, model, input_estimate, provenance, input_tokens, output_tokens, created_at)
   select r.id, r.subject_id, 'chat', 'gpt-5', 1, 'provider_final', 1, 1, '2001-01-01'
     from reservations r where r.subject_id in (select id from users)`,
  `insert into private.idempotency_keys (subject_id, key, request_hash, answer)
   select id, gen_random_uuid(), 1, '{}'::jsonb from users`,
  'insert into private.device_keys (key, request_hash, remaining) select gen_random_uuid(), 1, 1 from devices',
  `insert into audit_log (actor, action, target) select 'test', 'test', 'user:' || id from users`,
  // In parts, as each subject and day with a new model takes a lock.
  ...Array.from(
    { length: 10 },
    (_, part) =>
      `select private.record_usage_events(array_agg(row(
         gen_random_uuid(), d.id, null, d.id, 'device', 'unknown', 'gpt-5', 1, 0, 0, 0, 0, 'client_reported', 1, null,
         now() - d.n % 60 * interval '1 day', now(), null
       )::public.usage_events))
         from (select id, row_number() over (order by id) as n from devices) d where d.n % 10 = ${part}`,
  ),
  'analyze',
] as const;

/** Fills every table that grows with its users, and lets the planner know. */
export async function fillTables(database: TestDatabase): Promise<void> {
  for (const statement of STATEMENTS) await database.sql(statement);
}
