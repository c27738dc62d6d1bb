-- Mails wait in the database until they are sent, so that neither a restart nor an outage loses one. They are written by
-- what causes them, in its transaction.

create table if not exists private.mails (
  id uuid primary key default gen_random_uuid(),
  kind text not null check (kind in ('password_reset', 'email_verification', 'email_change', 'proof_code', 'invitation', 'notice')),
  recipient text check (length(recipient) between 3 and 320),
  subject_id uuid not null,
  sealed bytea not null check (length(sealed) between 1 and 65536),
  queued_at timestamptz not null default now(),
  expires_at timestamptz not null,
  due_at timestamptz not null default now(),
  attempts integer not null default 0 check (attempts >= 0)
);
create index if not exists mails_due_idx on private.mails (due_at, id);
create index if not exists mails_expires_idx on private.mails (expires_at);
create index if not exists mails_recipient_idx on private.mails (recipient);
create index if not exists mails_subject_idx on private.mails (subject_id, kind);
comment on table private.mails is
  'Mails that wait to be sent. A link that is asked for writes a row whether or not there is an account, so that neither the answer nor its time tells.';
comment on column private.mails.id is 'The mail''s id, which its Message-ID has as well.';
comment on column private.mails.kind is 'What the mail is for.';
comment on column private.mails.recipient is 'The address, or null where nobody is mailed: the row goes with the next round.';
comment on column private.mails.subject_id is 'The account, session or invitation it is about; of links, a newer mail about the same replaces it.';
comment on column private.mails.sealed is 'Subject, text and HTML, encrypted (AES-256-GCM) with a key derived from JWT_SECRET: they hold links that open accounts.';
comment on column private.mails.queued_at is 'When it was written.';
comment on column private.mails.expires_at is 'When the link or code in it ends: from then on it is not sent any more.';
comment on column private.mails.due_at is 'When it is to be tried next. While a server tries it, when another one may.';
comment on column private.mails.attempts is 'How often it was tried, the attempt under way included.';
-- No policy and no grant: only functions with their definer's rights reach it.
alter table private.mails enable row level security;

set check_function_bodies = off;

drop function if exists private.request_email_change(p_caller jsonb, p_email text, p_token_hash text);

drop function if exists public.change_password(p_caller jsonb, p_password_hash text, p_verified_hash text, p_revoke_keys boolean);

drop function if exists public.create_api_key(p_caller jsonb, p_name text, p_prefix text, p_key_hash text, p_scopes text[], p_expires_at text);

drop function if exists public.create_invitation(p_actor jsonb, p_code_hash text, p_days integer, p_email text, p_tokens bigint);

drop function if exists public.delete_account(p_caller jsonb);

drop function if exists public.register_user(p_email text, p_password_hash text, p_default_tokens bigint, p_sign_up text, p_session jsonb, p_name text, p_invitation_hash text, p_verification_hash text);

drop function if exists public.request_email_verification(p_email text, p_token_hash text);

drop function if exists public.request_password_reset(p_email text, p_token_hash text);

drop function if exists public.request_proof_code(p_caller jsonb, p_code_hash text);

drop function if exists public.reset_password(p_token_hash text, p_password_hash text, p_default_tokens bigint, p_revoke_keys boolean);

drop function if exists public.update_profile(p_caller jsonb, p_changes jsonb, p_token_hash text);

-- The caller holds the account. Links that were mailed to the old address end with it.
create or replace function private.change_email(p_user_id uuid, p_email text)
returns boolean
language plpgsql volatile set search_path = ''
as $$
begin
  begin
    update public.users set email = p_email, email_verified_at = now(), updated_at = now() where id = p_user_id;
  exception
    when unique_violation then
      return false;
  end;
  delete from private.password_resets where user_id = p_user_id;
  delete from private.email_verifications where user_id = p_user_id;
  delete from private.email_changes where user_id = p_user_id;
  perform private.drop_mails(p_user_id);
  return true;
end
$$;
comment on function private.change_email(uuid, text) is
  'Gives an account another address, which was proved; returns false where it is another account''s.';

create or replace function private.drop_mails(p_subject_id uuid, p_recipient text default null)
returns void
language sql volatile set search_path = ''
as $$
  delete from private.mails m where (m.subject_id = p_subject_id and m.kind <> 'notice') or m.recipient = p_recipient
$$;
comment on function private.drop_mails(uuid, text) is
  'Drops the links about a subject that wait to be mailed, and all that waits for an address, where one is given.';

create or replace function private.open_session(p_user_id uuid, p_session jsonb)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_expires_at timestamptz := now() + make_interval(secs => (p_session ->> 'lifetime_seconds')::integer);
  v_network text := p_session ->> 'network';
  v_is_new boolean := v_network is not null and private.is_new_network(p_user_id, v_network, p_session ->> 'address');
  v_id uuid;
begin
  if exists (select from public.users u where u.id = p_user_id and u.suspended_at is not null) then
    raise sqlstate 'PT403' using message = 'ACCOUNT_SUSPENDED';
  end if;
  insert into private.sessions (user_id, expires_at, user_agent, address)
  values (p_user_id, v_expires_at, left(p_session ->> 'user_agent', 300), left(p_session ->> 'address', 100))
  returning id into v_id;
  insert into private.refresh_tokens (token_hash, session_id, expires_at)
  values (decode(p_session ->> 'refresh_hash', 'hex'), v_id, v_expires_at);
  if v_network is not null then
    perform private.login_succeeded('user', p_user_id::text, v_network);
  end if;
  if v_is_new then
    perform private.queue_notice(p_user_id, (select u.email from public.users u where u.id = p_user_id), p_session ->> 'notice');
  end if;
  return private.session_json(v_id);
end
$$;
comment on function private.open_session(uuid, jsonb) is
  'Opens a session {refresh_hash, lifetime_seconds, user_agent, address, network, notice} with its first refresh token, and remembers the network, where there is one, as one its owner logs in from; where it is a new one, the sealed notice to them is queued. Returns {session_id, user}; raises ACCOUNT_SUSPENDED.';

create or replace function private.prune_accounts()
returns integer
language plpgsql volatile set search_path = ''
as $$
declare
  v_sessions integer;
  v_tokens integer;
  v_keys integer;
begin
  -- Skips what a request has locked; the next round finds it.
  delete from private.sessions
   where id in (select s.id from private.sessions s where s.expires_at <= now() for update skip locked);
  get diagnostics v_sessions = row_count;
  delete from private.admin_sessions where expires_at <= now();
  delete from private.refresh_tokens
   where token_hash in (select t.token_hash from private.refresh_tokens t where t.expires_at <= now() for update skip locked);
  get diagnostics v_tokens = row_count;
  -- A key that has ended stays in its owner's list for a while, so that they see why a script stopped.
  delete from private.api_keys where expires_at <= now() - interval '30 days';
  get diagnostics v_keys = row_count;
  delete from private.proof_codes where expires_at <= now();
  return v_sessions + v_tokens + v_keys + private.prune_oauth() + private.prune_password_resets() + private.prune_signup() + private.prune_mails();
end
$$;
comment on function private.prune_accounts() is
  'Removes sessions, tokens, codes, links and keys whose time is over; returns how many.';

create or replace function private.prune_mails()
returns integer
language plpgsql volatile set search_path = ''
as $$
declare
  v_pruned integer;
begin
  delete from private.mails
   where id in (select m.id from private.mails m where m.expires_at <= now() - interval '1 hour' for update skip locked);
  get diagnostics v_pruned = row_count;
  return v_pruned;
end
$$;
comment on function private.prune_mails() is
  'For maintenance: removes mails whose time was over an hour ago, where no server sends any that would have dropped them; returns how many.';

-- Works as much where nobody is to be mailed, so that the time tells nothing.
create or replace function private.queue_mail(
  p_kind text, p_recipient text, p_subject_id uuid, p_sealed text, p_lifetime interval
)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_subject_id uuid := coalesce(p_subject_id, gen_random_uuid());
begin
  -- Without a mail server nothing is sealed.
  if p_sealed is null then
    return;
  end if;
  if p_kind <> 'notice' then
    delete from private.mails m where m.subject_id = v_subject_id and m.kind = p_kind;
  end if;
  insert into private.mails (kind, recipient, subject_id, sealed, expires_at)
  values (
    p_kind, p_recipient, v_subject_id, decode(p_sealed, 'base64'),
    case when p_recipient is null then now() else now() + p_lifetime end
  );
end
$$;
comment on function private.queue_mail(text, text, uuid, text, interval) is
  'Queues a sealed mail (base64), which is sent within its lifetime or not at all; one of the same kind about the same subject is replaced, except notices. Does nothing where it is null.';

-- The limit is kept by a digest, as that of links.
create or replace function private.queue_notice(p_user_id uuid, p_email text, p_sealed text)
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  if p_sealed is null then
    return;
  end if;
  if private.count_attempt(
    'mail:notice', encode(private.identity_digest('email ' || p_email), 'hex'), 20, interval '1 hour'
  ) is null then
    perform private.queue_mail('notice', p_email, p_user_id, p_sealed, interval '24 hours');
  end if;
end
$$;
comment on function private.queue_notice(uuid, text, text) is
  'Queues a sealed notice (base64) to the owner of an account; at most 20 an hour to one address, those beyond are left out.';

create or replace function private.remove_account(p_user_id uuid)
returns text
language plpgsql volatile set search_path = ''
as $$
declare
  v_name text := 'user:' || p_user_id;
  v_email text := (select u.email from public.users u where u.id = p_user_id);
  v_returned bigint;
begin
  -- The long part first, while nobody waits for it; and once more for what a device records meanwhile.
  perform private.take_name_out_of_usage(p_user_id);
  update public.usage_events set url = null where subject_id = p_user_id and url is not null;
  perform private.forget_devices(p_user_id, v_name);
  perform private.take_name_out_of_usage(p_user_id);

  -- Only now, as everybody who registers waits for the pool.
  v_returned := private.close_balance(p_user_id, v_name);

  delete from private.idempotency_keys where subject_id = p_user_id;
  delete from private.known_addresses where account = v_name;
  delete from private.password_resets where email = v_email;
  delete from private.email_verifications where email = v_email;
  perform private.drop_mails(p_user_id, v_email);
  delete from private.login_attempts where key in (p_user_id::text, v_email) or starts_with(key, p_user_id || ' ');
  -- Credentials, sessions, keys, identities and all else that is secret or personal references this row and is deleted with it.
  -- What another capability keeps elsewhere is removed here; a subscription is cancelled with its provider before.
  delete from public.users where id = p_user_id;
  -- Without the request id, which is the caller's own word: nothing personal may get into the audit log.
  perform private.audit(v_name, null, 'delete_account', v_name, null, jsonb_build_object('returned', v_returned));
  return v_email;
end
$$;
comment on function private.remove_account(uuid) is
  'Removes an account with everything personal and returns its address; the caller has locked it and seen that this may be done.';

-- The caller holds the account.
create or replace function private.request_email_change(
  p_caller jsonb, p_email text, p_token_hash text, p_mail text, p_notice text
)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_user_id uuid := (p_caller ->> 'id')::uuid;
  v_wait integer;
begin
  perform private.require_fresh(p_caller);
  if p_token_hash is null then
    raise sqlstate 'PT503' using message = 'MAIL_DISABLED';
  end if;
  delete from private.email_changes c where c.user_id = v_user_id;
  delete from private.mails m where m.subject_id = v_user_id and m.kind = 'email_change';
  -- Who asks for the address they have, wants to keep it.
  if exists (select from public.users u where u.id = v_user_id and u.email = p_email) then
    return;
  end if;
  if exists (select from public.users u where u.email = p_email) then
    raise sqlstate 'PT409' using message = 'EMAIL_TAKEN';
  end if;
  v_wait := greatest(
    private.count_attempt('email:change', v_user_id::text, 5, interval '1 hour'), private.mail_wait('mail:link', p_email)
  );
  if v_wait is not null then
    raise sqlstate 'PT429' using message = 'RATE_LIMITED', detail = jsonb_build_object('retry_after', v_wait)::text;
  end if;
  insert into private.email_changes (user_id, email, token_hash, expires_at)
  values (v_user_id, p_email, decode(p_token_hash, 'hex'), now() + interval '24 hours');
  perform private.queue_mail('email_change', p_email, v_user_id, p_mail, interval '24 hours');
  perform private.queue_mail('notice', (select u.email from public.users u where u.id = v_user_id), v_user_id, p_notice, interval '24 hours');
end
$$;
comment on function private.request_email_change(jsonb, text, text, text, text) is
  'Makes this token (SHA-256, hex) the one that gives the account another address, for 24 hours; at most 5 an hour, and 3 in 15 minutes to one address. Queues the sealed mail to the new address and the notice to the present one. Raises EMAIL_TAKEN, PROOF_REQUIRED, RATE_LIMITED, and MAIL_DISABLED without a token.';

create or replace function public.change_password(
  p_caller jsonb, p_password_hash text, p_verified_hash text default null, p_revoke_keys boolean default false,
  p_notice text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes credentials and sessions, which no API role may.
declare
  v_user_id uuid := private.lock_user(p_caller);
begin
  -- Of two changes at once the second finds another hash than the one its current password was checked against.
  if p_verified_hash is null then
    perform private.require_fresh(p_caller);
    insert into private.user_credentials (user_id, password_hash) values (v_user_id, p_password_hash)
    on conflict (user_id) do nothing;
  else
    update private.user_credentials set password_hash = p_password_hash, updated_at = now()
     where user_id = v_user_id and password_hash = p_verified_hash;
  end if;
  if not found then
    raise sqlstate 'PT401' using message = 'INVALID_CREDENTIALS';
  end if;
  delete from private.login_attempts where scope = 'user:password' and key = v_user_id::text;
  delete from private.password_resets where user_id = v_user_id;
  delete from private.mails m where m.subject_id = v_user_id and m.kind = 'password_reset';
  perform private.queue_notice(v_user_id, (select u.email from public.users u where u.id = v_user_id), p_notice);
  return jsonb_build_object(
    'ended', private.end_sessions(v_user_id, (p_caller ->> 'session_id')::uuid),
    'api_keys', private.keys_after_password(v_user_id, p_revoke_keys)
  );
end
$$;
grant execute on function public.change_password(jsonb, text, text, boolean, text) to service_role;
comment on function public.change_password(jsonb, text, text, boolean, text) is
  'Sets the password where it still is the verified one, or the first one where none was verified, and ends every other session, mailed links and, where wished, the API keys; the sealed notice to the owner is queued. Returns {ended, api_keys}: those that go on; raises INVALID_CREDENTIALS, and PROOF_REQUIRED for the first one.';

-- A server that dies with a mail in its hands leaves it due a minute later, which is longer than an attempt takes.
create or replace function public.claim_mails(p_limit integer)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: reads and writes private.mails, which no API role may.
declare
  v_expired jsonb;
  v_mails jsonb;
begin
  with gone as (
    delete from private.mails
     where id in (select m.id from private.mails m where m.expires_at <= now() for update skip locked)
    returning kind, recipient
  )
  select coalesce(jsonb_agg(kind order by kind) filter (where recipient is not null), '[]') into v_expired from gone;

  with due as (
    select m.id from private.mails m where m.due_at <= now() and m.recipient is not null
     order by m.due_at, m.id limit p_limit for update skip locked
  ), claimed as (
    update private.mails m set attempts = m.attempts + 1, due_at = now() + interval '1 minute'
      from due where m.id = due.id
    returning m.*
  )
  select coalesce(jsonb_agg(jsonb_build_object(
           'id', c.id, 'kind', c.kind, 'to', c.recipient, 'sealed', encode(c.sealed, 'base64'), 'attempt', c.attempts
         ) order by c.queued_at, c.id), '[]')
    into v_mails from claimed c;

  return jsonb_build_object(
    'mails', v_mails, 'expired', v_expired,
    'next_seconds', (
      select greatest(ceil(extract(epoch from min(m.due_at) - now())), 0)::integer from private.mails m where m.recipient is not null
    )
  );
end
$$;
grant execute on function public.claim_mails(integer) to service_role;
comment on function public.claim_mails(integer) is
  'Hands out mails that are due to one server, for a minute, and drops those whose time is over. Returns {mails: [{id, kind, to, sealed, attempt}], expired: their kinds, next_seconds: until the next one is due, or null}.';

create or replace function public.create_api_key(
  p_caller jsonb, p_name text, p_prefix text, p_key_hash text, p_scopes text[], p_expires_at text default null,
  p_notice text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: no API role may read private.api_keys.
declare
  v_user_id uuid;
  v_key private.api_keys;
begin
  -- Serialises the creations of one person, so that the limit holds, and waits for whatever is about to end the
  -- calling session: a key made meanwhile would outlive it.
  perform from public.users u where u.id = (p_caller ->> 'id')::uuid for update;
  v_user_id := private.require_user(p_caller);
  if (select count(*) from private.api_keys k where k.user_id = v_user_id) >= 50 then
    raise sqlstate 'PT409' using message = 'API_KEY_LIMIT', detail = '{"limit": 50}';
  end if;
  if p_expires_at::timestamptz <= now() then
    raise sqlstate 'PT400' using message = 'VALIDATION_FAILED';
  end if;
  perform private.count_recorded_act(v_user_id);
  insert into private.api_keys (user_id, name, prefix, key_hash, scopes, expires_at)
  values (
    v_user_id, p_name, p_prefix, decode(p_key_hash, 'hex'), p_scopes,
    -- What a key makes does not outlive it.
    least(p_expires_at::timestamptz, (
      select k.expires_at from private.api_keys k where k.id = (p_caller ->> 'api_key_id')::uuid
    ))
  )
  returning * into v_key;
  perform private.audit(
    'user:' || v_user_id, null, 'create_api_key', 'user:' || v_user_id, null,
    jsonb_build_object('id', v_key.id, 'scopes', v_key.scopes, 'expires_at', v_key.expires_at)
  );
  perform private.queue_notice(v_user_id, (select u.email from public.users u where u.id = v_user_id), p_notice);
  return private.api_key_json(v_key);
exception
  -- Well formed, but there is no such time.
  when data_exception then
    raise sqlstate 'PT400' using message = 'VALIDATION_FAILED';
end
$$;
grant execute on function public.create_api_key(jsonb, text, text, text, text[], text, text) to service_role;
comment on function public.create_api_key(jsonb, text, text, text, text[], text, text) is
  'Keeps a new key''s SHA-256 (hex) and returns the key without it; one made by a key ends with it at the latest. The sealed notice to the owner is queued. Raises API_KEY_LIMIT beyond 50, RATE_LIMITED, VALIDATION_FAILED for an end in the past.';

-- The audit log can never be cleaned, so it does not name the address.
create or replace function public.create_invitation(
  p_actor jsonb, p_code_hash text, p_days integer, p_email text default null, p_tokens bigint default null,
  p_mail text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: writes invitations and mails, which no API role may.
declare
  v_actor text := private.require_admin(p_actor);
  v_invitation private.invitations;
begin
  if exists (select from public.users u where u.email = p_email) then
    raise sqlstate 'PT409' using message = 'EMAIL_TAKEN';
  end if;
  insert into private.invitations (code_hash, email, tokens, created_by, expires_at)
  values (decode(p_code_hash, 'hex'), p_email, p_tokens, v_actor, now() + make_interval(days => p_days))
  returning * into v_invitation;
  perform private.audit_admin(
    p_actor, 'create_invitation', 'invitation:' || v_invitation.id, null,
    jsonb_build_object('tokens', p_tokens, 'is_bound', p_email is not null, 'expires_at', v_invitation.expires_at)
  );
  if p_email is not null then
    perform private.queue_mail('invitation', p_email, v_invitation.id, p_mail, make_interval(days => p_days));
  end if;
  return private.invitation_json(v_invitation);
end
$$;
grant execute on function public.create_invitation(jsonb, text, integer, text, bigint, text) to service_role;
comment on function public.create_invitation(jsonb, text, integer, text, bigint, text) is
  'Keeps an invitation by the SHA-256 (hex) of its code, for some days; with an address it is good for that one only, and the sealed mail to it is queued. Returns it; raises EMAIL_TAKEN.';

create or replace function public.delete_account(p_caller jsonb, p_notice text default null)
returns jsonb
language plpgsql volatile security definer set search_path = '' set statement_timeout = '15min'
as $$
-- Definer: removes what no API role may write.
declare
  v_user_id uuid := (p_caller ->> 'id')::uuid;
begin
  -- Whatever adds a row to the account waits for this and then finds nobody; and this waits for whoever takes the
  -- account over, before it checks the caller's session.
  perform from public.users u where u.id = v_user_id for update;
  perform private.require_user(p_caller);
  perform private.require_fresh(p_caller);
  -- Behind the removal, which drops whatever waits for the address.
  perform private.queue_notice(v_user_id, private.remove_account(v_user_id), p_notice);
  return jsonb_build_object('deleted', true);
end
$$;
grant execute on function public.delete_account(jsonb, text) to service_role;
comment on function public.delete_account(jsonb, text) is
  'Removes the caller''s account with everything personal; its anonymous usage and ledger stay, its unused tokens return to the pool. The sealed notice to its owner is queued. Returns {deleted}; raises PROOF_REQUIRED.';

create or replace function public.delete_invitation(p_actor jsonb, p_id uuid)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes invitations, which no API role may.
begin
  perform private.require_admin(p_actor);
  delete from private.invitations where id = p_id;
  if not found then
    raise sqlstate 'PT404' using message = 'INVITATION_NOT_FOUND';
  end if;
  perform private.drop_mails(p_id);
  perform private.audit_admin(p_actor, 'delete_invitation', 'invitation:' || p_id);
  return jsonb_build_object('deleted', true);
end
$$;
grant execute on function public.delete_invitation(jsonb, uuid) to service_role;
comment on function public.delete_invitation(jsonb, uuid) is
  'Removes an invitation, which nobody can redeem any more; an account made with it stays. Returns {deleted}; raises INVITATION_NOT_FOUND.';

create or replace function public.finish_user_login(
  p_user_id uuid, p_changed_at text, p_address text, p_session jsonb, p_rehashed text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes sessions and counters, which no API role may.
begin
  -- The password that was checked must still be the account's; the lock lets no change slip between. A hash brought up to
  -- date by another log-in at the same time is of the same password, and leaves the time of its change as it is.
  perform from private.user_credentials c
   where c.user_id = p_user_id and c.updated_at = p_changed_at::timestamptz
     for update;
  if not found then
    raise sqlstate 'PT401' using message = 'INVALID_CREDENTIALS';
  end if;
  update private.user_credentials set password_hash = p_rehashed where user_id = p_user_id and p_rehashed is not null;
  return private.open_session(p_user_id, p_session || jsonb_build_object('network', p_address));
end
$$;
grant execute on function public.finish_user_login(uuid, text, text, jsonb, text) to service_role;
comment on function public.finish_user_login(uuid, text, text, jsonb, text) is
  'After the right password: opens a session, if the password was not changed since, and keeps a hash of it made with today''s pepper, where one is given. Returns {session_id, user}; raises INVALID_CREDENTIALS, ACCOUNT_SUSPENDED.';

create or replace function public.get_mail_queue(p_actor jsonb)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: reads private.mails, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  return (
    select jsonb_build_object(
             'waiting', coalesce(sum(k.waiting), 0), 'failing', coalesce(sum(k.failing), 0),
             'oldest_at', min(k.oldest_at), 'next_attempt_at', min(k.next_at),
             'kinds', coalesce(jsonb_object_agg(k.kind, k.waiting), '{}')
           )
      from (
        select m.kind, count(*) as waiting, count(*) filter (where m.attempts > 1) as failing,
               min(m.queued_at) as oldest_at, min(m.due_at) as next_at
          from private.mails m
         where m.recipient is not null and m.expires_at > now()
         group by m.kind
      ) k
  );
end
$$;
grant execute on function public.get_mail_queue(jsonb) to service_role;
comment on function public.get_mail_queue(jsonb) is
  'Returns {waiting, failing, oldest_at, next_attempt_at, kinds}: how many mails wait to be sent, how many were tried more than once, since when, and how many of each kind; no address.';

create or replace function public.register_user(
  p_email text, p_password_hash text, p_default_tokens bigint, p_sign_up text, p_session jsonb,
  p_name text default null, p_invitation_hash text default null, p_verification_hash text default null,
  p_mail text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes users, credentials, balances and sessions, which no API role may.
declare
  v_user public.users;
begin
  if p_sign_up = 'closed' then
    raise sqlstate 'PT403' using message = 'SIGNUP_CLOSED';
  elsif p_sign_up = 'invite' and p_invitation_hash is null then
    raise sqlstate 'PT403' using message = 'INVITATION_REQUIRED';
  end if;
  v_user := private.create_account(p_email, p_name, null);
  if v_user.id is null then
    raise sqlstate 'PT409' using message = 'EMAIL_TAKEN';
  end if;
  insert into private.user_credentials (user_id, password_hash) values (v_user.id, p_password_hash);
  if p_invitation_hash is not null then
    perform private.redeem_invitation(v_user, p_invitation_hash);
  end if;
  select u.* into v_user from public.users u where u.id = v_user.id;
  if p_sign_up = 'open' or v_user.email_verified_at is not null then
    perform private.grant_default_tokens(v_user.id, p_default_tokens, 'system:registration');
  end if;
  if v_user.email_verified_at is null and p_verification_hash is not null
     and private.mail_wait('mail:link', p_email) is null
  then
    perform private.keep_verification(p_email, v_user.id, p_verification_hash);
    perform private.queue_mail('email_verification', p_email, v_user.id, p_mail, interval '24 hours');
  end if;
  return private.open_session(v_user.id, p_session - 'network');
end
$$;
grant execute on function public.register_user(text, text, bigint, text, jsonb, text, text, text, text) to service_role;
comment on function public.register_user(text, text, bigint, text, jsonb, text, text, text, text) is
  'Creates an account with a password where p_sign_up (open, verified, invite, closed) or an invitation lets it, and logs it in; its default tokens come at once where sign-up is open, else with the proof of the address. The sealed mail with the link is queued, at most 3 in 15 minutes to one address. Returns {session_id, user}; raises SIGNUP_CLOSED, INVITATION_REQUIRED, INVITATION_INVALID, EMAIL_TAKEN.';

create or replace function public.request_email_verification(p_email text, p_token_hash text, p_mail text)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes links, mails and counters, which no API role may.
declare
  v_user_id uuid;
begin
  -- Past the limit the link mailed before stays good: a stranger who keeps asking cannot take it from its owner.
  if private.mail_wait('mail:verification', p_email) is not null then
    return jsonb_build_object('asked', true);
  end if;
  -- The account before its link, as where the account is deleted.
  select u.id into v_user_id from public.users u where u.email = p_email and u.email_verified_at is null for key share;
  perform private.keep_verification(p_email, v_user_id, p_token_hash);
  perform private.queue_mail('email_verification', case when v_user_id is not null then p_email end, v_user_id, p_mail, interval '24 hours');
  return jsonb_build_object('asked', true);
end
$$;
grant execute on function public.request_email_verification(text, text, text) to service_role;
comment on function public.request_email_verification(text, text, text) is
  'Makes this token (SHA-256, hex) the address''s only one for 24 hours; at most 3 in 15 minutes. Queues the sealed mail where an account waits for it, and returns the same either way.';

create or replace function public.request_password_reset(p_email text, p_token_hash text, p_mail text)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes links, mails and counters, which no API role may.
declare
  v_user_id uuid;
begin
  -- Past the limit the link mailed before stays good: a stranger who keeps asking cannot take it from its owner.
  if private.mail_wait('mail:reset', p_email) is not null then
    return jsonb_build_object('asked', true);
  end if;
  -- The account before its link, as where the account is deleted.
  select u.id into v_user_id from public.users u where u.email = p_email for key share;
  insert into private.password_resets as r (email, user_id, token_hash, requested_at, expires_at)
  values (p_email, v_user_id, decode(p_token_hash, 'hex'), now(), now() + interval '30 minutes')
  on conflict (email) do update
    set user_id = excluded.user_id, token_hash = excluded.token_hash,
        requested_at = excluded.requested_at, expires_at = excluded.expires_at;
  perform private.queue_mail('password_reset', case when v_user_id is not null then p_email end, v_user_id, p_mail, interval '30 minutes');
  return jsonb_build_object('asked', true);
end
$$;
grant execute on function public.request_password_reset(text, text, text) to service_role;
comment on function public.request_password_reset(text, text, text) is
  'Makes this token (SHA-256, hex) the address''s only one for 30 minutes; at most 3 in 15 minutes. Queues the sealed mail where there is an account, and returns the same either way.';

create or replace function public.request_proof_code(p_caller jsonb, p_code_hash text, p_mail text)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes codes, mails and counters, which no API role may. Returns a refusal instead of raising it, so that it is counted.
declare
  v_user_id uuid := private.lock_user(p_caller);
  v_wait integer := private.count_attempt('proof:account', v_user_id::text, 3, interval '15 minutes');
begin
  if not p_caller ? 'session_id' then
    raise sqlstate 'PT400' using message = 'NO_SESSION';
  elsif v_wait is not null then
    return jsonb_build_object('allowed', false, 'retry_after', v_wait);
  end if;
  insert into private.proof_codes as c (session_id, code_hash, expires_at)
  values ((p_caller ->> 'session_id')::uuid, decode(p_code_hash, 'hex'), now() + interval '5 minutes')
  on conflict (session_id) do update set code_hash = excluded.code_hash, expires_at = excluded.expires_at;
  perform private.queue_mail(
    'proof_code', (select u.email from public.users u where u.id = v_user_id), (p_caller ->> 'session_id')::uuid, p_mail, interval '5 minutes'
  );
  return jsonb_build_object('allowed', true);
end
$$;
grant execute on function public.request_proof_code(jsonb, text, text) to service_role;
comment on function public.request_proof_code(jsonb, text, text) is
  'Makes this code (HMAC, hex) the one that proves the calling session for 5 minutes; at most 3 in 15 minutes. Queues the sealed mail with it. Returns {allowed} or {allowed, retry_after}; raises NO_SESSION.';

create or replace function public.reset_password(
  p_token_hash text, p_password_hash text, p_default_tokens bigint, p_revoke_keys boolean default false,
  p_notice text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: reads and writes credentials, which no API role may.
declare
  v_hash bytea := decode(p_token_hash, 'hex');
  v_user_id uuid;
  v_email text;
begin
  select r.user_id into v_user_id from private.password_resets r where r.token_hash = v_hash;
  -- The account before its link, as where the account is deleted.
  perform from public.users u where u.id = v_user_id for no key update;
  delete from private.password_resets r
   where r.token_hash = v_hash and r.user_id = v_user_id and r.expires_at > now();
  if not found then
    raise sqlstate 'PT400' using message = 'INVALID_RESET_TOKEN';
  end if;
  -- Whoever followed the link reads the address's mail. What others may have left in the account before that goes
  -- first, so that the new password stays.
  perform private.prove_email(v_user_id);
  insert into private.user_credentials as c (user_id, password_hash) values (v_user_id, p_password_hash)
  on conflict (user_id) do update set password_hash = excluded.password_hash, updated_at = now();
  perform private.end_sessions(v_user_id);
  perform private.grant_default_tokens(v_user_id, p_default_tokens, 'system:verification');
  select u.email into strict v_email from public.users u where u.id = v_user_id;
  perform private.queue_notice(v_user_id, v_email, p_notice);
  return jsonb_build_object(
    'api_keys', private.keys_after_password(v_user_id, p_revoke_keys)
  );
end
$$;
grant execute on function public.reset_password(text, text, bigint, boolean, text) to service_role;
comment on function public.reset_password(text, text, bigint, boolean, text) is
  'Uses up the token (SHA-256, hex): proves the address, which pays the default tokens where they were not, sets the password (argon2id hash) and ends every session and, where wished, the API keys; the sealed notice to the owner is queued. Returns {api_keys}: those that go on; raises INVALID_RESET_TOKEN for one that is unknown, used, expired or not the newest.';

-- An outcome counts only for the attempt that is the latest: another server may have taken the mail over meanwhile.
create or replace function public.settle_mail(p_id uuid, p_attempt integer, p_outcome text, p_wait_seconds integer default null)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes private.mails, which no API role may.
begin
  if p_outcome in ('sent', 'refused') then
    delete from private.mails m where m.id = p_id and m.attempts = p_attempt;
  elsif p_outcome = 'released' then
    update private.mails m set due_at = now(), attempts = m.attempts - 1 where m.id = p_id and m.attempts = p_attempt;
  else
    -- 2, 4, 8 … seconds, 10 minutes at most, and never all at the same moment.
    update private.mails m
       set due_at = now() + greatest(
             least(power(2, least(p_attempt, 10)), 600) * (0.75 + random() / 2), least(coalesce(p_wait_seconds, 0), 3600)
           ) * interval '1 second'
     where m.id = p_id and m.attempts = p_attempt;
  end if;
  return jsonb_build_object('settled', found);
end
$$;
grant execute on function public.settle_mail(uuid, integer, text, integer) to service_role;
comment on function public.settle_mail(uuid, integer, text, integer) is
  'Ends an attempt: sent and refused mails are removed, released ones are due at once, failed ones later and later, after p_wait_seconds at the earliest. Returns {settled}: whether the attempt was still the latest.';

create or replace function public.update_profile(
  p_caller jsonb, p_changes jsonb, p_token_hash text default null, p_mail text default null, p_notice text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: writes users, which no API role may.
declare
  v_user_id uuid := private.lock_user(p_caller);
  v_user public.users;
begin
  if p_changes ? 'email' then
    perform private.request_email_change(p_caller, p_changes ->> 'email', p_token_hash, p_mail, p_notice);
  end if;
  update public.users u
     set name = case when p_changes ? 'name' then p_changes ->> 'name' else u.name end,
         picture = case when p_changes ? 'picture' then p_changes ->> 'picture' else u.picture end,
         updated_at = now()
   where u.id = v_user_id
  returning * into v_user;
  return private.profile_json(v_user);
end
$$;
grant execute on function public.update_profile(jsonb, jsonb, text, text, text) to service_role;
comment on function public.update_profile(jsonb, jsonb, text, text, text) is
  'Changes name and picture where {name, picture, email} has them, null to clear; an address waits for the link with this token (SHA-256, hex): the sealed mail with it and the notice to the present address are queued. Returns the profile; raises EMAIL_TAKEN, PROOF_REQUIRED, RATE_LIMITED, and MAIL_DISABLED for an address without a token.';

reset check_function_bodies;

-- Notes the SHA-256 of the text above.
select private.record_migration('20261127234338', '73d2f6dc26daeb8ef84dd753ddf2acbbb3cf8a2160e16e061fdc83fa8d4918a1');
