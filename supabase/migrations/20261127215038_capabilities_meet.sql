-- Functions that several of the capabilities before changed, each in its own way: what they are together.

set check_function_bodies = off;

drop function if exists public.finish_user_login(p_user_id uuid, p_password_hash text, p_address text, p_session jsonb);

create or replace function private.change_event_money(
  p_generation public.generations, p_provenance text, p_nano_usd bigint
)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_event public.usage_events;
  v_difference bigint;
begin
  -- An event happened when its hold was closed.
  select e.* into v_event
    from public.usage_events e
   where e.subject_id = p_generation.subject_id and e.id = p_generation.id
     and e.occurred_at = (select r.closed_at from public.reservations r where r.id = p_generation.id);
  -- Until upstream's last word is known, nothing is taken from what it has said.
  v_difference := case when p_provenance = 'estimated' then greatest(p_nano_usd, v_event.nano_usd) else p_nano_usd end
    - coalesce(v_event.nano_usd, 0);
  if v_event.id is null or v_difference is null or (v_difference = 0 and v_event.nano_usd is not null) then
    return;
  end if;
  update public.usage_events e set nano_usd = coalesce(e.nano_usd, 0) + v_difference
   where e.subject_id = v_event.subject_id and e.occurred_at = v_event.occurred_at and e.id = v_event.id;
  v_event := private.rolled_up_as(v_event);
  update public.usage_rollups r set nano_usd = r.nano_usd + v_difference
   where r.subject_id = v_event.subject_id and r.bucket = date_bin('15 minutes', v_event.occurred_at, 'epoch')
     and r.provider = v_event.provider and r.model = v_event.model and r.source = v_event.source;
  -- Into any shard: they are added up.
  insert into public.usage_totals as t (
    bucket, shard, events, prompts, input_tokens, output_tokens, total_tokens, cost, nano_usd
  )
  values (
    date_bin('15 minutes', v_event.occurred_at, 'epoch'), pg_backend_pid() % 8, 0, 0, 0, 0, 0, 0, v_difference
  )
  on conflict (bucket, shard) do update set nano_usd = t.nano_usd + excluded.nano_usd;
end
$$;
comment on function private.change_event_money(public.generations, text, bigint) is
  'Changes what upstream charges for the event of a closed generation, in its rollups too; nothing where that is not known, or the event is gone.';

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
  return private.session_json(v_id) || jsonb_build_object('new_network', v_is_new);
end
$$;
comment on function private.open_session(uuid, jsonb) is
  'Opens a session {refresh_hash, lifetime_seconds, user_agent, address, network} with its first refresh token, and remembers the network, where there is one, as one its owner logs in from. Returns {session_id, user, new_network}; raises ACCOUNT_SUSPENDED.';

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
  return v_sessions + v_tokens + v_keys + private.prune_oauth() + private.prune_password_resets() + private.prune_signup();
end
$$;
comment on function private.prune_accounts() is
  'Removes sessions, tokens, codes, links and keys whose time is over; returns how many.';

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

-- What a stranger counted cannot be told from what the account's own clients did: the account says what is right.
create or replace function private.replace_tracked(p_user_id uuid, p_prompts integer, p_tokens bigint)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_gone public.usage_totals;
  v_period integer;
begin
  delete from public.usage_events e where e.subject_id = p_user_id and e.source = 'tracker';
  for v_gone in
    with gone as (
      delete from public.usage_rollups r where r.subject_id = p_user_id and r.source = 'tracker' returning r.*
    )
    select g.bucket, 0, sum(g.events), sum(g.prompts), sum(g.input_tokens), sum(g.output_tokens), sum(g.total_tokens), sum(g.cost),
           sum(g.nano_usd)
      from gone g group by g.bucket order by g.bucket
  loop
    perform private.take_out_total(v_gone);
  end loop;
  if p_prompts > 0 or p_tokens > 0 then
    select b.period into v_period from public.balances b where b.subject_id = p_user_id;
    perform private.record_usage_events(array[row(
      gen_random_uuid(), p_user_id, p_user_id, null, 'tracker', 'unknown', 'unknown', p_prompts,
      0, 0, p_tokens, 0, 'client_reported', v_period, null, now(), now(), null
    )::public.usage_events]);
  end if;
end
$$;
comment on function private.replace_tracked(uuid, integer, bigint) is
  'Replaces all that was tracked for an account, in its events, rollups and the totals, by one event of now.';

create or replace function private.roll_up_usage(p_events public.usage_events[])
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  p_events := private.fold_names(p_events);
  insert into public.usage_rollups as r (
    subject_id, bucket, provider, model, source, events, prompts, input_tokens, output_tokens, total_tokens, cost,
    nano_usd
  )
  select e.subject_id, date_bin('15 minutes', e.occurred_at, 'epoch'), e.provider, e.model, e.source,
         count(*), sum(e.prompt_count), sum(e.input_tokens), sum(e.output_tokens), sum(e.total_tokens), sum(e.cost),
         coalesce(sum(e.nano_usd), 0)
    from unnest(p_events) e
   group by 1, 2, 3, 4, 5
   order by 1, 2, 3, 4, 5
  on conflict (subject_id, bucket, provider, model, source) do update
    set events = r.events + excluded.events,
        prompts = r.prompts + excluded.prompts,
        input_tokens = r.input_tokens + excluded.input_tokens,
        output_tokens = r.output_tokens + excluded.output_tokens,
        total_tokens = r.total_tokens + excluded.total_tokens,
        cost = r.cost + excluded.cost,
        nano_usd = r.nano_usd + excluded.nano_usd;
  insert into public.usage_totals as t (
    bucket, shard, events, prompts, input_tokens, output_tokens, total_tokens, cost,
    nano_usd
  )
  select date_bin('15 minutes', e.occurred_at, 'epoch'), (pg_backend_pid() % 8)::smallint,
         count(*), sum(e.prompt_count), sum(e.input_tokens), sum(e.output_tokens), sum(e.total_tokens), sum(e.cost),
         coalesce(sum(e.nano_usd), 0)
    from unnest(p_events) e
   group by 1
   order by 1
  on conflict (bucket, shard) do update
    set events = t.events + excluded.events,
        prompts = t.prompts + excluded.prompts,
        input_tokens = t.input_tokens + excluded.input_tokens,
        output_tokens = t.output_tokens + excluded.output_tokens,
        total_tokens = t.total_tokens + excluded.total_tokens,
        cost = t.cost + excluded.cost,
        nano_usd = t.nano_usd + excluded.nano_usd;
end
$$;
comment on function private.roll_up_usage(public.usage_events[]) is 'Adds events to the quarter-hour rollups and totals.';

create or replace function private.take_out_total(p_gone public.usage_totals)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_left public.usage_totals;
begin
  -- Events may have been counted in any shard, so the bucket's shards become one. One deletion at a time: the next
  -- one must see the shard this one leaves.
  perform pg_advisory_xact_lock(hashtextextended('public.usage_totals', extract(epoch from p_gone.bucket)::bigint));
  with gone as (
    delete from public.usage_totals where bucket = p_gone.bucket returning *
  )
  select p_gone.bucket, 0, sum(g.events) - p_gone.events, sum(g.prompts) - p_gone.prompts,
         sum(g.input_tokens) - p_gone.input_tokens, sum(g.output_tokens) - p_gone.output_tokens,
         sum(g.total_tokens) - p_gone.total_tokens, sum(g.cost) - p_gone.cost, sum(g.nano_usd) - p_gone.nano_usd
    into v_left
    from gone g;
  insert into public.usage_totals as t select v_left.* where v_left.events > 0
  on conflict (bucket, shard) do update
    set events = t.events + excluded.events, prompts = t.prompts + excluded.prompts,
        input_tokens = t.input_tokens + excluded.input_tokens, output_tokens = t.output_tokens + excluded.output_tokens,
        total_tokens = t.total_tokens + excluded.total_tokens, cost = t.cost + excluded.cost,
        nano_usd = t.nano_usd + excluded.nano_usd;
end
$$;
comment on function private.take_out_total(public.usage_totals) is
  'Takes what events of a quarter hour added up to out of everybody''s total of it; its shard does not matter. An empty total goes.';

create or replace function private.take_out_usage(p_event public.usage_events)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_bucket timestamptz := date_bin('15 minutes', p_event.occurred_at, 'epoch');
begin
  p_event := private.rolled_up_as(p_event);
  update public.usage_rollups r
     set events = r.events - 1, prompts = r.prompts - p_event.prompt_count,
         input_tokens = r.input_tokens - p_event.input_tokens, output_tokens = r.output_tokens - p_event.output_tokens,
         total_tokens = r.total_tokens - p_event.total_tokens, cost = r.cost - p_event.cost,
         nano_usd = r.nano_usd - coalesce(p_event.nano_usd, 0)
   where r.subject_id = p_event.subject_id and r.bucket = v_bucket and r.provider = p_event.provider
     and r.model = p_event.model and r.source = p_event.source;
  delete from public.usage_rollups r
   where r.subject_id = p_event.subject_id and r.bucket = v_bucket and r.provider = p_event.provider
     and r.model = p_event.model and r.source = p_event.source and r.events = 0;
  perform private.take_out_total(row(
    v_bucket, 0, 1, p_event.prompt_count, p_event.input_tokens, p_event.output_tokens, p_event.total_tokens, p_event.cost,
    coalesce(p_event.nano_usd, 0)
  )::public.usage_totals);
end
$$;
comment on function private.take_out_usage(public.usage_events) is 'Takes one event out of its rollup and the totals; empty ones go.';

create or replace function public.change_user_tracker(p_actor jsonb, p_user_id uuid, p_changes jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: counters, events and the audit log are written by no API role.
declare
  v_actor text := private.require_admin(p_actor, case when p_changes = '{}' then 'viewer' else 'operator' end);
begin
  perform from public.users u where u.id = p_user_id for no key update;
  if not found then
    raise sqlstate 'PT404' using message = 'USER_NOT_FOUND';
  end if;
  return private.apply_tracker_changes(p_user_id, p_changes, v_actor, p_actor ->> 'request_id');
end
$$;
grant execute on function public.change_user_tracker(jsonb, uuid, jsonb) to service_role;
comment on function public.change_user_tracker(jsonb, uuid, jsonb) is
  'Does for an admin with any account what change_tracker does with one''s own; raises USER_NOT_FOUND.';

create or replace function public.create_api_key(
  p_caller jsonb, p_name text, p_prefix text, p_key_hash text, p_scopes text[], p_expires_at text default null
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
  return private.api_key_json(v_key)
    || jsonb_build_object('owner_email', (select u.email from public.users u where u.id = v_user_id));
exception
  -- Well formed, but there is no such time.
  when data_exception then
    raise sqlstate 'PT400' using message = 'VALIDATION_FAILED';
end
$$;
grant execute on function public.create_api_key(jsonb, text, text, text, text[], text) to service_role;
comment on function public.create_api_key(jsonb, text, text, text, text[], text) is
  'Keeps a new key''s SHA-256 (hex) and returns the key without it, and the address of its owner; one made by a key ends with it at the latest. Raises API_KEY_LIMIT beyond 50, VALIDATION_FAILED for an end in the past.';

-- The audit log can never be cleaned, so it does not name the address.
create or replace function public.create_invitation(
  p_actor jsonb, p_code_hash text, p_days integer, p_email text default null, p_tokens bigint default null
)
returns jsonb
language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: writes invitations, which no API role may.
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
  return private.invitation_json(v_invitation);
end
$$;
grant execute on function public.create_invitation(jsonb, text, integer, text, bigint) to service_role;
comment on function public.create_invitation(jsonb, text, integer, text, bigint) is
  'Keeps an invitation by the SHA-256 (hex) of its code, for some days; with an address it is good for that one only. Returns it; raises EMAIL_TAKEN.';

-- The audit log can never be cleaned, so an account is named in it by its id only.
create or replace function public.create_user(
  p_actor jsonb, p_email text, p_default_tokens bigint, p_name text default null, p_password_hash text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: writes users, credentials and balances, which no API role may.
declare
  v_actor text := private.require_admin(p_actor);
  v_user public.users := private.create_account(p_email, p_name, null);
begin
  if v_user.id is null then
    raise sqlstate 'PT409' using message = 'EMAIL_TAKEN';
  end if;
  if p_password_hash is not null then
    insert into private.user_credentials (user_id, password_hash) values (v_user.id, p_password_hash);
  end if;
  -- An admin's decision, whatever the address was paid before.
  perform private.grant_default_tokens(v_user.id, p_default_tokens, v_actor, null, true);
  perform private.audit_admin(
    p_actor, 'create_user', 'user:' || v_user.id, null, private.balance_json(v_user.id)
  );
  return private.user_json(v_user);
end
$$;
grant execute on function public.create_user(jsonb, text, bigint, text, text) to service_role;
comment on function public.create_user(jsonb, text, bigint, text, text) is
  'Creates an account with its default tokens; the password hash may be null. Returns the account; raises EMAIL_TAKEN.';

create or replace function public.delete_account(p_caller jsonb)
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
  return jsonb_build_object('deleted', true, 'email', private.remove_account(v_user_id));
end
$$;
grant execute on function public.delete_account(jsonb) to service_role;
comment on function public.delete_account(jsonb) is
  'Removes the caller''s account with everything personal; its anonymous usage and ledger stay, its unused tokens return to the pool. Returns {deleted, email}; raises PROOF_REQUIRED.';

create or replace function public.delete_account_as(p_actor jsonb, p_user_id uuid)
returns jsonb
language plpgsql volatile security definer set search_path = '' set statement_timeout = '15min'
as $$
-- Definer: removes what no API role may write.
declare
  v_target text;
begin
  perform private.require_admin(p_actor);
  v_target := private.require_account(p_user_id);
  perform private.remove_account(p_user_id);
  perform private.audit_admin(p_actor, 'delete_user', v_target);
  return jsonb_build_object('deleted', true);
end
$$;
grant execute on function public.delete_account_as(jsonb, uuid) to service_role;
comment on function public.delete_account_as(jsonb, uuid) is
  'Removes an account as its owner could. Returns {deleted}; raises USER_NOT_FOUND, and SUBSCRIPTION_RUNNING while Stripe knows the person.';

create or replace function public.delete_device(p_actor jsonb, p_device_id uuid)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes devices, balances, the pool and the ledger, which no API role may.
declare
  v_actor text := private.require_admin(p_actor);
  v_before jsonb;
  v_unused bigint;
begin
  perform from public.budgets where subject_kind = 'device' for update;
  v_before := private.lock_device(p_device_id);
  v_unused := private.close_device(p_device_id, v_actor, 'device deleted');
  perform private.audit_admin(
    p_actor, 'delete_device', 'device:' || p_device_id, v_before,
    jsonb_build_object('returned', v_unused)
  );
  return jsonb_build_object('device_id', p_device_id, 'returned', v_unused);
end
$$;
grant execute on function public.delete_device(jsonb, uuid) to service_role;
comment on function public.delete_device(jsonb, uuid) is
  'Removes a device: its tokens die, its unused tokens return to the pool, its usage stays. Returns {device_id, returned}.';

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
  perform private.audit_admin(p_actor, 'delete_invitation', 'invitation:' || p_id);
  return jsonb_build_object('deleted', true);
end
$$;
grant execute on function public.delete_invitation(jsonb, uuid) to service_role;
comment on function public.delete_invitation(jsonb, uuid) is
  'Removes an invitation, which nobody can redeem any more; an account made with it stays. Returns {deleted}; raises INVITATION_NOT_FOUND.';

create or replace function public.find_google_user(p_identity jsonb, p_default_tokens bigint, p_sign_up text)
returns jsonb
language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: writes users and identities, which no API role may.
declare
  v_user public.users := private.resolve_external_identity(p_identity, p_default_tokens, p_sign_up);
begin
  if v_user.id is null then
    raise sqlstate 'PT401' using message = 'INVALID_ACCESS_TOKEN';
  end if;
  if v_user.suspended_at is not null then
    raise sqlstate 'PT403' using message = 'ACCOUNT_SUSPENDED';
  end if;
  return private.user_json(v_user);
end
$$;
grant execute on function public.find_google_user(jsonb, bigint, text) to service_role;
comment on function public.find_google_user(jsonb, bigint, text) is
  'Returns the account of a person Google vouches for, made where there is none yet; raises INVALID_ACCESS_TOKEN where the address is another person''s, ACCOUNT_SUSPENDED.';

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
  perform private.login_succeeded('user', p_user_id::text, p_address);
  return private.open_session(p_user_id, p_session || jsonb_build_object('network', p_address));
end
$$;
grant execute on function public.finish_user_login(uuid, text, text, jsonb, text) to service_role;
comment on function public.finish_user_login(uuid, text, text, jsonb, text) is
  'After the right password: opens a session, if the password was not changed since, and keeps a hash of it made with today''s pepper, where one is given. Returns {session_id, user, new_network}; raises INVALID_CREDENTIALS, ACCOUNT_SUSPENDED.';

create or replace function public.list_invitations(
  p_actor jsonb, p_limit integer, p_before_at text default null, p_before_id uuid default null
)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: reads invitations, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  return (
    select coalesce(jsonb_agg(private.invitation_json(page) order by page.created_at desc, page.id desc), '[]')
      from (
        select i.* from private.invitations i
         where p_before_id is null or (i.created_at, i.id) < (p_before_at::timestamptz, p_before_id)
         order by i.created_at desc, i.id desc
         limit p_limit
      ) page
  );
exception
  -- The cursor comes from the caller.
  when data_exception then
    raise sqlstate 'PT400' using message = 'VALIDATION_FAILED';
end
$$;
grant execute on function public.list_invitations(jsonb, integer, text, uuid) to service_role;
comment on function public.list_invitations(jsonb, integer, text, uuid) is
  'Returns invitations, newest first; before (time, id) to page on.';

create or replace function public.list_model_weights(p_actor jsonb)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: no API role may read model_weights.
begin
  perform private.require_admin(p_actor, 'viewer');
  return (select coalesce(jsonb_agg(to_jsonb(w) order by w.model), '[]') from public.model_weights w);
end
$$;
grant execute on function public.list_model_weights(jsonb) to service_role;
comment on function public.list_model_weights(jsonb) is 'Returns all weights of models; those without a row weigh 1.';

create or replace function public.meter_chat(p_items jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: the only writer of generations; no API role may write balances, holds or events itself.
declare
  v_item record;
  v_weight public.model_weights;
  v_available bigint;
  v_amount bigint;
  v_least bigint;
  v_generation public.generations;
  v_balance public.balances;
  v_status text;
  v_problem text;
  v_output bigint;
  v_subjects uuid[];
  v_answer jsonb;
  v_answers jsonb[] := '{}';
  v_events public.usage_events[] := '{}';
  v_has_pool boolean;
begin
  select array_agg(distinct s.subject_id), coalesce(bool_or(s.is_closed), false) into v_subjects, v_has_pool
    from (
      select coalesce(g.subject_id, i.id, e.user_id) as subject_id,
             i.op = 'settle' and g.provenance = 'estimated' as is_closed
        from jsonb_to_recordset(p_items) as i(op text, id uuid, google_subject text, hold uuid)
        -- One look-up by key an item: a join with JSON is planned as if it had a hundred rows, and reads whole tables.
        left join lateral (
          select g.subject_id, g.provenance from public.generations g where g.id = i.hold and i.op <> 'reserve' limit 1
        ) g on true
        left join lateral (
          select e.user_id from private.external_identities e
           where e.provider = 'google' and e.subject = i.google_subject limit 1
        ) e on true
    ) s;
  -- What was given up for lost is corrected, which takes the pool, and the pool comes before the balances.
  if v_has_pool then
    perform from public.budgets where subject_kind = 'user' for update;
  end if;
  perform from public.balances b where b.subject_id = any (v_subjects) order by b.subject_id for update;
  if exists (
    select from public.reservations r
     where r.subject_id = any (v_subjects) and r.status = 'held' and r.expires_at <= now()
  ) then
    -- A server that comes back late knows better what its stream came to than the hold does.
    perform private.settle_lost_generations(
      v_subjects, now(), array(select (i ->> 'hold')::uuid from jsonb_array_elements(p_items) i)
    );
  end if;

  for v_item in
    select i.*, coalesce(i.id, e.user_id) as user_id
      from rows from (
        jsonb_to_recordset(p_items) as (
          op text, id uuid, session_id uuid, api_key_id uuid, google_subject text, hold uuid, source text, model text,
          input_estimate bigint, output_tokens bigint, idempotency_key text, request_hash text, provider text,
          upstream_id text, provenance text, input_tokens bigint, streamed boolean, input_seen bigint,
          output_seen bigint, input_floor bigint, output_floor bigint, nano_usd bigint, input_price numeric,
          output_price numeric, request_price numeric
        )
      ) with ordinality as i(
        op, id, session_id, api_key_id, google_subject, hold, source, model, input_estimate, output_tokens,
        idempotency_key, request_hash, provider, upstream_id, provenance, input_tokens, streamed, input_seen,
        output_seen, input_floor, output_floor, nano_usd, input_price, output_price, request_price, ord
      )
      left join lateral (
        select e.user_id from private.external_identities e
         where e.provider = 'google' and e.subject = i.google_subject limit 1
      ) e on true
     order by i.ord
  loop
    v_answer := null;
    if v_item.op = 'reserve' then
      select b.* into v_balance from public.balances b where b.subject_id = v_item.user_id;
      v_problem := private.credential_problem(v_item.user_id, v_item.session_id, v_item.api_key_id, 'chat');
      v_available := v_balance.allocated - v_balance.used - v_balance.reserved;
      v_weight := private.find_model_weight(v_item.model);
      v_generation := null;
      v_generation.input_weight := coalesce(v_weight.input_weight, 1);
      v_generation.output_weight := coalesce(v_weight.output_weight, 1);
      v_output := private.affordable_tokens(
        v_item.output_tokens, v_available - v_item.input_estimate * v_generation.input_weight, v_generation.output_weight
      );
      v_amount := private.weighted_tokens(v_generation, v_item.input_estimate, v_output);
      -- Some answers, such as embeddings, have no tokens; all others have one at least.
      v_least := private.weighted_tokens(v_generation, v_item.input_estimate, least(v_item.output_tokens, 1));
      v_answer := case
        when v_item.google_subject is not null and v_item.user_id is null then '{"code": "USER_NOT_FOUND"}'
        when v_balance.subject_id is null then '{"code": "INVALID_TOKEN"}'
        when v_problem is not null then jsonb_build_object('code', v_problem)
        when v_available < v_least then jsonb_build_object(
          'code', 'INSUFFICIENT_TOKENS', 'requested', v_least, 'remaining', v_available
        )
      end;
      if v_answer is null and v_item.idempotency_key is not null then
        insert into private.idempotency_keys (subject_id, key, request_hash, answer)
        values (
          v_item.user_id, v_item.idempotency_key, decode(v_item.request_hash, 'hex'),
          jsonb_build_object('hold', v_item.hold)
        )
        on conflict (subject_id, key) do nothing;
        if not found then
          -- The answer was not kept, so it cannot be given again; it must not be paid for again either.
          select jsonb_build_object('code', case
                   when k.request_hash = decode(v_item.request_hash, 'hex') then 'ALREADY_ANSWERED'
                   else 'IDEMPOTENCY_MISMATCH'
                 end)
            into strict v_answer
            from private.idempotency_keys k
           where k.subject_id = v_item.user_id and k.key = v_item.idempotency_key;
        end if;
      end if;
      if v_answer is null then
        update public.balances b
           set reserved = b.reserved + v_amount, updated_at = now()
         where b.subject_id = v_item.user_id and b.allocated - b.used - b.reserved >= v_amount
        returning b.* into strict v_balance;
        insert into public.reservations (id, subject_id, amount, model, prompt_count, expires_at)
        values (
          v_item.hold, v_item.user_id, v_amount, v_item.model, 1, now() + interval '5 minutes'
        );
        -- With its weights and prices, which hold for all of the request, whatever becomes of the model's.
        insert into public.generations (
          id, subject_id, source, model, input_estimate, streamed, input_weight, output_weight, input_price,
          output_price, request_price
        )
        values (
          v_item.hold, v_item.user_id, v_item.source, v_item.model, v_item.input_estimate,
          coalesce(v_item.streamed, false), v_generation.input_weight, v_generation.output_weight,
          v_item.input_price, v_item.output_price, v_item.request_price
        );
        v_answer := jsonb_build_object(
          'output_tokens', v_output, 'remaining', v_balance.allocated - v_balance.used - v_balance.reserved
        );
      end if;
    else
      select g.* into v_generation from public.generations g where g.id = v_item.hold;
      select r.status into v_status from public.reservations r where r.id = v_item.hold;
      select b.* into v_balance from public.balances b where b.subject_id = v_generation.subject_id;
      v_generation.provider := coalesce(v_item.provider, v_generation.provider);
      v_generation.upstream_id := coalesce(v_item.upstream_id, v_generation.upstream_id);
      v_generation.input_floor := coalesce(v_item.input_floor, v_generation.input_floor);
      v_generation.output_floor := coalesce(v_item.output_floor, v_generation.output_floor);
      if v_status is null then
        v_answer := '{"code": "RESERVATION_NOT_FOUND"}';
      elsif v_item.op = 'extend' and v_status <> 'held' then
        v_answer := '{"code": "RESERVATION_SETTLED"}';
      elsif v_item.op = 'extend' then
        -- Also with nothing to add: a running stream says that it is still there, and how far it has come.
        v_output := case
          when exists (
            select from public.users u where u.id = v_generation.subject_id and u.suspended_at is not null
          ) then 0
          else private.affordable_tokens(
            v_item.output_tokens, v_balance.allocated - v_balance.used - v_balance.reserved, v_generation.output_weight
          )
        end;
        v_amount := private.weighted_tokens(v_generation, 0, v_output);
        update public.balances b
           set reserved = b.reserved + v_amount, updated_at = now()
         where b.subject_id = v_generation.subject_id and v_output > 0;
        -- Not at every note, as its expiry is in two indexes.
        update public.reservations r
           set amount = r.amount + v_amount, expires_at = now() + interval '5 minutes'
         where r.id = v_item.hold and (v_output > 0 or r.expires_at < now() + interval '4 minutes');
        update public.generations g
           set provider = v_generation.provider, upstream_id = v_generation.upstream_id,
               input_seen = coalesce(v_item.input_seen, g.input_seen),
               output_seen = coalesce(v_item.output_seen, g.output_seen),
               input_floor = v_generation.input_floor, output_floor = v_generation.output_floor
         where g.id = v_item.hold;
        v_answer := jsonb_build_object('output_tokens', v_output);
      elsif v_item.op = 'settle' then
        -- Only the first settlement counts: one that is sent again finds the hold closed.
        if v_status = 'held' and v_item.input_tokens + v_item.output_tokens > 0 then
          v_events := v_events || private.close_generation(
            v_generation, 'settled', v_item.provenance, v_item.input_tokens, v_item.output_tokens, v_item.nano_usd
          );
        elsif v_status = 'held' then
          -- What was not billed may be asked for again with the same key.
          delete from private.idempotency_keys k
           where k.subject_id = v_generation.subject_id and k.answer = jsonb_build_object('hold', v_item.hold);
          perform private.close_generation(v_generation, 'released', null, 0, 0);
        elsif v_status = 'lost' and v_generation.provenance = 'estimated'
          and exists (select from public.users u where u.id = v_generation.subject_id) then
          -- A server that was out of reach for long knows what its stream came to; the hold was only an estimate of it.
          if not v_has_pool then
            raise sqlstate '40001' using message = 'a hold was given up for lost at the same time';
          end if;
          v_generation.reconcile_at := case
            when v_item.provenance = 'estimated' and v_generation.upstream_id is not null then now()
          end;
          perform private.change_settlement(
            v_generation, v_item.provenance, v_item.input_tokens, v_item.output_tokens, v_item.nano_usd,
            'system:late_settlement'
          );
          update public.reservations r set status = 'settled' where r.id = v_item.hold;
        end if;
        select jsonb_build_object(
                 'tokens_used', private.weighted_tokens(g, g.input_tokens, g.output_tokens), 'remaining', b.allocated - b.used - b.reserved
               )
          into strict v_answer
          from public.generations g join public.balances b on b.subject_id = g.subject_id
         where g.id = v_item.hold;
      else
        raise exception 'unknown metering operation %', v_item.op using errcode = '22023';
      end if;
    end if;
    v_answers := v_answers || v_answer;
  end loop;

  if cardinality(v_events) > 0 then
    perform private.record_usage_events(v_events);
  end if;
  return to_jsonb(v_answers);
end
$$;
grant execute on function public.meter_chat(jsonb) to service_role;
comment on function public.meter_chat(jsonb) is
  'Takes, extends and settles holds of chat requests in one transaction. Takes an array of {op: reserve, id, session_id | api_key_id or google_subject, hold, source, model, streamed, input_estimate, output_tokens, input_price, output_price, request_price, idempotency_key, request_hash}, {op: extend, hold, output_tokens, input_seen, output_seen, input_floor, output_floor, provider, upstream_id} and {op: settle, hold, input_tokens, output_tokens, provenance, nano_usd, input_floor, output_floor, provider, upstream_id}; returns an array in the same order: {output_tokens, remaining}, {output_tokens}, {tokens_used, remaining}, or {code, …} where the item was refused.';

-- Items are taken per device in the order given, each sees what the ones before it left, and each gets an outcome of its
-- own. Devices are locked in id order, so concurrent calls cannot deadlock.
create or replace function public.meter_devices(p_items jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: the only writer of balances, events, rollups and holds; no API role may write them itself.
declare
  v_item record;
  v_device uuid;
  v_available bigint;
  v_reserved bigint;
  v_used bigint;
  v_charge bigint;
  v_answer jsonb;
  v_answers jsonb[] := '{}';
  v_keys text[] := '{}';
  v_key_positions integer[] := '{}';
  v_earlier private.idempotency_keys;
  v_hash bytea;
  v_position integer;
  v_id uuid;
  v_write uuid[];
  v_events public.usage_events[] := '{}';
  v_holds public.reservations[] := '{}';
  v_settled uuid[] := '{}';
  v_settled_events uuid[] := '{}';
  v_released bigint[] := '{}';
  v_stored private.idempotency_keys[] := '{}';
begin
  select array_agg(distinct i.device_id) into v_write
    from jsonb_to_recordset(p_items) as i(op text, device_id uuid, reserve boolean)
   where i.op = 'debit' or i.reserve
      or exists (
        select from public.reservations r
         where r.subject_id = i.device_id and r.status = 'held' and r.expires_at <= now()
      );
  if v_write is not null then
    perform from public.balances b where b.subject_id = any (v_write) order by b.subject_id for update;
    perform private.expire_reservations(v_write);
  end if;

  for v_item in
    select i.ord::integer as ord, i.op, i.device_id, i.prompt_count, coalesce(i.reserve, false) as reserve,
           i.key, i.reservation_id, i.model,
           d.id is not null and d.token_version = i.token_version as known, d.blocked, d.user_id, o.suspended_at,
           b.allocated, b.used, b.reserved, b.period,
           coalesce(c.cost, standard.cost, 1)::bigint * i.prompt_count as cost,
           r.status as hold_status, r.amount as hold_amount,
           k.request_hash as earlier_hash, k.answer as earlier_answer
      from (
        select ord, op, device_id, token_version, lower(btrim(model)) as model, prompt_count, reserve, key, reservation_id
          from rows from (
            jsonb_to_recordset(p_items) as (
              op text, device_id uuid, token_version integer, model text, prompt_count integer,
              reserve boolean, key text, reservation_id uuid
            )
          ) with ordinality as item(op, device_id, token_version, model, prompt_count, reserve, key, reservation_id, ord)
      ) i
      left join public.devices d on d.id = i.device_id
      left join public.users o on o.id = d.user_id
      left join public.balances b on b.subject_id = d.id
      left join public.model_costs c on c.model = i.model
      left join public.model_costs standard on standard.model = '*'
      left join public.reservations r on r.id = i.reservation_id and r.subject_id = i.device_id
      left join private.idempotency_keys k on k.subject_id = i.device_id and k.key = i.key
     order by i.device_id, i.ord
  loop
    if v_device is distinct from v_item.device_id then
      v_device := v_item.device_id;
      v_available := v_item.allocated - v_item.used - v_item.reserved;
      v_reserved := v_item.reserved;
      v_used := v_item.used;
      v_keys := '{}';
      v_key_positions := '{}';
    end if;

    v_hash := null;
    v_answer := case
      when not v_item.known then '{"code": "INVALID_TOKEN"}'::jsonb
      when v_item.blocked then '{"code": "DEVICE_BLOCKED"}'::jsonb
      when v_item.suspended_at is not null then '{"code": "ACCOUNT_SUSPENDED"}'::jsonb
    end;

    -- A key seen before, in an earlier call or earlier in this one, repeats its answer.
    if v_answer is null and v_item.key is not null then
      v_hash := sha256(convert_to(
        jsonb_build_array(v_item.op, v_item.reserve, v_item.model, v_item.prompt_count, v_item.reservation_id)::text, 'UTF8'
      ));
      v_earlier := row(v_device, v_item.key, v_item.earlier_hash, v_item.earlier_answer, null);
      v_position := array_position(v_keys, v_item.key);
      if v_position is not null then
        v_earlier := v_stored[v_key_positions[v_position]];
      end if;
      v_answer := case
        when v_earlier.request_hash is null then null
        when v_earlier.request_hash = v_hash then v_earlier.answer
        else '{"code": "IDEMPOTENCY_MISMATCH"}'::jsonb
      end;
    end if;

    if v_answer is null and v_item.op = 'balance' then
      v_answer := jsonb_build_object(
        'allocated', v_item.allocated, 'used', v_used, 'reserved', v_reserved, 'remaining', v_available
      );
    elsif v_answer is null and v_item.op = 'check' then
      v_answer := jsonb_build_object(
        'can_use', v_available >= v_item.cost, 'tokens_needed', v_item.cost, 'remaining', v_available
      );
      if v_item.reserve and v_available >= v_item.cost then
        v_id := gen_random_uuid();
        v_holds := v_holds || row(
          v_id, v_device, v_item.cost, 'held', v_item.model, v_item.prompt_count, null,
          now() + interval '10 minutes', now(), null
        )::public.reservations;
        v_available := v_available - v_item.cost;
        v_reserved := v_reserved + v_item.cost;
        v_answer := v_answer || jsonb_build_object(
          'remaining', v_available, 'reservation_id', v_id, 'expires_at', now() + interval '10 minutes'
        );
      end if;
    elsif v_answer is null and v_item.op = 'debit' then
      -- An expired hold guarantees nothing: its usage is debited like any other.
      v_charge := case
        when v_item.hold_status = 'held' and v_item.reservation_id <> all (v_settled) then v_item.hold_amount
        else 0
      end;
      v_answer := case
        when v_item.reservation_id is not null and v_item.hold_status is null
          then '{"code": "RESERVATION_NOT_FOUND"}'::jsonb
        when v_item.hold_status = 'settled' or v_item.reservation_id = any (v_settled)
          then '{"code": "RESERVATION_SETTLED"}'::jsonb
        when v_available + v_charge < v_item.cost
          then jsonb_build_object(
            'code', 'INSUFFICIENT_TOKENS', 'requested', v_item.cost, 'remaining', v_available + v_charge
          )
      end;
      if v_answer is null then
        v_id := gen_random_uuid();
        v_events := v_events || row(
          v_id, v_device, v_item.user_id, v_device, 'device', 'unknown', v_item.model, v_item.prompt_count,
          0, 0, 0, v_item.cost, 'client_reported', v_item.period, null, now(), now(), null
        )::public.usage_events;
        if v_item.hold_status = 'held' then
          v_settled := v_settled || v_item.reservation_id;
          v_settled_events := v_settled_events || v_id;
          v_released := v_released || v_charge;
        end if;
        v_available := v_available + v_charge - v_item.cost;
        v_reserved := v_reserved - v_charge;
        v_used := v_used + v_item.cost;
        v_answer := jsonb_build_object('event_id', v_id, 'tokens_used', v_item.cost, 'remaining', v_available);
      end if;
    elsif v_answer is null then
      raise exception 'unknown metering operation %', v_item.op using errcode = '22023';
    end if;

    -- Only what took effect is remembered: a refused write moved nothing and may be tried again.
    if v_hash is not null and v_earlier.request_hash is null
       and (v_answer ? 'event_id' or v_answer ? 'reservation_id') then
      v_stored := v_stored || row(v_device, v_item.key, v_hash, v_answer, now())::private.idempotency_keys;
      v_keys := v_keys || v_item.key;
      v_key_positions := v_key_positions || cardinality(v_stored);
    end if;
    v_answers[v_item.ord] := v_answer;
  end loop;

  if cardinality(v_events) > 0 then
    perform private.record_usage_events(v_events);
  end if;
  if cardinality(v_holds) > 0 then
    insert into public.reservations select h.* from unnest(v_holds) h;
  end if;
  if cardinality(v_settled) > 0 then
    update public.reservations r
       set status = 'settled', closed_at = now(), usage_event_id = s.event_id
      from unnest(v_settled, v_settled_events) as s(id, event_id)
     where r.id = s.id;
  end if;
  if cardinality(v_stored) > 0 then
    insert into private.idempotency_keys select k.* from unnest(v_stored) k;
  end if;

  update public.balances b
     set used = b.used + change.used, reserved = b.reserved + change.reserved, updated_at = now()
    from (
      select subject_id, sum(used)::bigint as used, sum(reserved)::bigint as reserved
        from (
          select e.subject_id, e.cost as used, 0 as reserved from unnest(v_events) e
          union all
          select h.subject_id, 0, h.amount from unnest(v_holds) h
          union all
          select r.subject_id, 0, -released.amount
            from unnest(v_settled, v_released) as released(id, amount)
            join public.reservations r on r.id = released.id
        ) parts
       group by subject_id
    ) change
   where b.subject_id = change.subject_id;

  return to_jsonb(v_answers);
end
$$;
grant execute on function public.meter_devices(jsonb) to service_role;
comment on function public.meter_devices(jsonb) is
  'Makes balance reads, checks, holds and debits of devices in one transaction. Takes an array of {op, device_id, token_version, model, prompt_count, reserve, key, reservation_id}, returns an array of outcomes in the same order: the result, or {code, …} where the item was refused.';

create or replace function public.record_usage(p_items jsonb, p_retention_months integer)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: the only writer of observed events and their rollups; no API role may write them itself.
declare
  v_horizon timestamptz := private.usage_horizon(p_retention_months);
  v_item record;
  v_code text;
  v_earlier jsonb;
  v_hash bytea;
  v_position integer;
  v_answers jsonb[] := array_fill(null::jsonb, array[jsonb_array_length(p_items)]);
  v_ids uuid[] := array_fill(null::uuid, array[jsonb_array_length(p_items)]);
  v_events public.usage_events[] := '{}';
  v_stored private.idempotency_keys[] := '{}';
  v_keys text[] := '{}';
  v_new_keys integer;
  v_inserted uuid[] := '{}';
begin
  perform private.hold_users(p_items);
  for v_item in
    select i.*, c.problem, b.period, k.request_hash as earlier_hash, k.answer as earlier_answer,
           private.usage_event_id(
             i.user_id, i.timestamp_ms,
             case when i.key is null then i.content else jsonb_build_array('key', i.key) end
           ) as event_id
      from (
        select p.*, timestamptz 'epoch' + p.timestamp_ms * interval '1 millisecond' as occurred_at,
               jsonb_build_array(
                 p.provider, p.model, p.timestamp_ms, p.input_tokens, p.output_tokens, p.url
               ) as content
          from (
            select r.ord::integer as ord, r.id as user_id, r.session_id, r.api_key_id, r.provider,
                   lower(btrim(r.model)) as model, r.input_tokens, r.output_tokens, r.total_tokens,
                   r.timestamp_ms, private.plain_url(r.url) as url, r.key
              from rows from (
                jsonb_to_recordset(p_items) as (
                  id uuid, session_id uuid, api_key_id uuid, provider text, model text, input_tokens bigint,
                  output_tokens bigint, total_tokens bigint, timestamp_ms bigint, url text, key text
                )
              ) with ordinality as r(
                id, session_id, api_key_id, provider, model, input_tokens, output_tokens, total_tokens, timestamp_ms,
                url, key, ord
              )
          ) p
      ) i
      left join lateral (
        select private.credential_problem(i.user_id, i.session_id, i.api_key_id, 'usage:write') as problem
      ) c on true
      left join public.balances b on b.subject_id = i.user_id
      left join private.idempotency_keys k on k.subject_id = i.user_id and k.key = i.key
     order by i.ord
  loop
    v_hash := case when v_item.key is not null then sha256(convert_to(v_item.content::text, 'UTF8')) end;
    v_position := array_position(v_keys, v_item.user_id || v_item.key);
    v_earlier := case
      when v_item.earlier_hash is not null then v_item.earlier_answer
      when v_position is not null then v_stored[v_position].answer
    end;
    v_code := case
      when v_item.problem is not null then v_item.problem
      when v_item.total_tokens <> v_item.input_tokens + v_item.output_tokens then 'TOTAL_MISMATCH'
      when v_earlier is not null and coalesce(v_item.earlier_hash, v_stored[v_position].request_hash) <> v_hash
        then 'IDEMPOTENCY_MISMATCH'
      when v_earlier is not null then null
      when v_item.occurred_at > now() + interval '5 minutes' or v_item.occurred_at < v_horizon
        then 'TIMESTAMP_OUT_OF_RANGE'
    end;
    if v_code is not null then
      v_answers[v_item.ord] := jsonb_build_object('code', v_code);
    elsif v_earlier is not null then
      v_answers[v_item.ord] := v_earlier || '{"recorded": true, "duplicate": true}';
    else
      v_ids[v_item.ord] := v_item.event_id;
      v_events := v_events || row(
        v_item.event_id, v_item.user_id, v_item.user_id, null, 'extension', v_item.provider, v_item.model, 1,
        v_item.input_tokens, v_item.output_tokens, v_item.input_tokens + v_item.output_tokens, 0,
        'client_reported', v_item.period, v_item.url, v_item.occurred_at, now(), null
      )::public.usage_events;
      if v_item.key is not null then
        v_stored := v_stored || row(
          v_item.user_id, v_item.key, v_hash, jsonb_build_object('id', v_item.event_id), now()
        )::private.idempotency_keys;
        v_keys := v_keys || (v_item.user_id || v_item.key);
      end if;
    end if;
  end loop;

  if cardinality(v_stored) > 0 then
    with stored as (
      insert into private.idempotency_keys select s.* from unnest(v_stored) s order by s.subject_id, s.key
      on conflict do nothing returning 1
    )
    select count(*) into v_new_keys from stored;
    -- Somebody used one of the keys meanwhile: the whole call is made again and then sees it.
    if v_new_keys < cardinality(v_stored) then
      raise sqlstate '40001' using message = 'an idempotency key was used at the same time';
    end if;
  end if;

  if cardinality(v_events) > 0 then
    v_inserted := private.record_new_usage_events(v_events);
  end if;

  return (
    select jsonb_agg(
             coalesce(a.answer, jsonb_build_object(
               'id', a.id, 'recorded', true, 'duplicate', a.nth > 1 or not a.id = any (v_inserted)
             )) order by a.ord
           )
      from (
        select answer, id, ord, row_number() over (partition by id order by ord) as nth
          from unnest(v_answers, v_ids) with ordinality as u(answer, id, ord)
      ) a
  );
end
$$;
grant execute on function public.record_usage(jsonb, integer) to service_role;
comment on function public.record_usage(jsonb, integer) is
  'Records what extensions observed. Takes an array of {id, session_id | api_key_id, provider, model, input_tokens, output_tokens, total_tokens, timestamp_ms, url, key}, returns an array in the same order: {id, recorded, duplicate}, or {code} where the event was refused.';

create or replace function public.require_device_reader(p_device_id uuid)
returns void
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: a device that is blocked is told so, and may see no row that says it.
declare
  v_device public.devices;
begin
  select * into v_device from public.devices d where d.id = p_device_id;
  if not auth.jwt() ? 'device_id' then
    if v_device.user_id is distinct from public.require_current_user('usage:read') or v_device.deleted_at is not null then
      raise sqlstate 'PT404' using message = 'DEVICE_NOT_FOUND';
    end if;
  elsif p_device_id is distinct from (auth.jwt() ->> 'device_id')::uuid then
    raise sqlstate 'PT404' using message = 'DEVICE_NOT_FOUND';
  elsif v_device.deleted_at is not null
     or v_device.token_version is distinct from (auth.jwt() ->> 'device_version')::integer then
    raise sqlstate 'PT401' using message = 'INVALID_TOKEN';
  elsif v_device.blocked then
    raise sqlstate 'PT403' using message = 'DEVICE_BLOCKED';
  end if;
end
$$;
grant execute on function public.require_device_reader(uuid) to authenticated;
comment on function public.require_device_reader(uuid) is
  'Lets pass the device itself and the account it is linked to; raises DEVICE_NOT_FOUND, INVALID_TOKEN or DEVICE_BLOCKED.';

create or replace function public.set_model_weights(p_actor jsonb, p_weights jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: no API role may write model_weights.
declare
  v_before jsonb := public.list_model_weights(p_actor);
begin
  perform private.require_admin(p_actor);
  delete from public.model_weights w
   using jsonb_to_recordset(p_weights) as given(model text, input_weight numeric)
   where w.model = lower(btrim(given.model)) and given.input_weight is null;
  insert into public.model_weights (model, input_weight, output_weight, comment)
  select distinct on (1) lower(btrim(given.model)), given.input_weight,
         coalesce(given.output_weight, given.input_weight), given.comment
    from rows from (
      jsonb_to_recordset(p_weights) as (model text, input_weight numeric, output_weight numeric, comment text)
    ) with ordinality as given(model, input_weight, output_weight, comment, ord)
   where given.input_weight is not null
   order by 1, given.ord desc
  on conflict (model) do update
    set input_weight = excluded.input_weight, output_weight = excluded.output_weight, source = 'operator',
        comment = excluded.comment, updated_at = now();
  perform private.audit_admin(p_actor, 'set_model_weights', null, v_before, public.list_model_weights(p_actor));
  return public.list_model_weights(p_actor);
end
$$;
grant execute on function public.set_model_weights(jsonb, jsonb) to service_role;
comment on function public.set_model_weights(jsonb, jsonb) is
  'Sets the weights given as [{model, input_weight, output_weight, comment}], where the output weighs as the input unless it is given; removes those whose input_weight is null, leaves the others. Returns all weights.';

create or replace function public.summarize_usage(
  p_from text, p_to text, p_time_zone text, p_group_by text[], p_subjects uuid[] default public.own_subjects()
)
returns jsonb
language plpgsql stable set search_path = '' set timezone = 'UTC' set plan_cache_mode = 'force_custom_plan'
  -- The planner takes every quarter hour for a group of its own and would sort them all on disk.
  set work_mem = '32MB'
as $$
declare
  v_range record;
  v_unit text := (select g from unnest(p_group_by) g where g in ('day', 'week', 'month') limit 1);
  v_periods date[];
  v_starts timestamptz[];
  -- How many groups make 10,000 rows.
  v_groups integer;
  v_answer jsonb;
begin
  select * into v_range from public.usage_range(p_from, p_to, p_time_zone);
  if v_unit is not null then
    select array_agg(p.day::date order by p.day), array_agg(public.day_start(p.day::date, p_time_zone) order by p.day)
      into v_periods, v_starts
      from generate_series(
        date_trunc(v_unit, v_range.range_from at time zone p_time_zone),
        (v_range.range_to - interval '1 microsecond') at time zone p_time_zone,
        ('1 ' || v_unit)::interval
      ) as p(day);
  end if;
  v_groups := 10000 / coalesce(cardinality(v_periods), 1);

  with sums as materialized (
    -- The rollups are read once, by the key they are kept under.
    select width_bucket(r.bucket, v_starts) as period,
           case when 'provider' = any (p_group_by) then r.provider end as provider,
           case when 'model' = any (p_group_by) then r.model end as model,
           case when 'source' = any (p_group_by) then r.source end as source,
           case when p_group_by && '{device,user}' then r.subject_id end as subject_id,
           sum(r.events) as events, sum(r.prompts) as prompts, sum(r.input_tokens) as input_tokens,
           sum(r.output_tokens) as output_tokens, sum(r.total_tokens) as total_tokens, sum(r.cost) as cost,
           sum(r.nano_usd) as nano_usd
      from public.usage_rollups r
     where (p_subjects is null or r.subject_id = any (p_subjects))
       and r.bucket >= v_range.range_from and r.bucket < v_range.range_to
     group by 1, 2, 3, 4, 5
  ),
  named as materialized (
    select coalesce(s.period, 0) as period,
           jsonb_build_array(
             s.provider, s.model, s.source,
             case when 'device' = any (p_group_by) then d.id end,
             case when 'user' = any (p_group_by) then coalesce(d.user_id, case when d.id is null then s.subject_id end) end
           ) as names,
           s.events, s.prompts, s.input_tokens, s.output_tokens, s.total_tokens, s.cost, s.nano_usd
      from sums s left join public.devices d on d.id = s.subject_id
  ),
  ranked as materialized (
    select n.names, row_number() over (order by sum(n.events) desc, n.names) as rank, count(*) over () as groups
      from named n group by n.names
  ),
  -- Where all of them would be too many rows, the rest is one group, marked by a sixth name.
  cells as materialized (
    select n.period,
           case when r.groups <= v_groups or r.rank < v_groups then n.names else jsonb_build_array(
             case when 'provider' = any (p_group_by) then 'other' end,
             case when 'model' = any (p_group_by) then 'other' end,
             case when 'source' = any (p_group_by) then 'other' end, null, null, true
           ) end as names,
           sum(n.events) as events, sum(n.prompts) as prompts, sum(n.input_tokens) as input_tokens,
           sum(n.output_tokens) as output_tokens, sum(n.total_tokens) as total_tokens, sum(n.cost) as cost,
           sum(n.nano_usd) as nano_usd
      from named n join ranked r on r.names = n.names
     group by 1, 2
  ),
  periods as materialized (
    select coalesce(p.period, 0) as period, p.day
      from (select 1) one left join unnest(v_periods) with ordinality as p(day, period) on true
  ),
  groups as materialized (
    select distinct c.names from cells c
    union
    -- Without names to group by, days without use are days, too.
    select jsonb_build_array(null, null, null, null, null)
     where not p_group_by && '{provider,model,source,device,user}'
  ),
  series as (
    select case when v_unit is not null then jsonb_build_object(v_unit, p.day) else '{}' end
             || coalesce((
               select jsonb_object_agg(n.name, g.names -> (n.position::integer - 1))
                 from unnest(array['provider', 'model', 'source', 'device', 'user']) with ordinality as n(name, position)
                where n.name = any (p_group_by)
             ), '{}')
             || case when jsonb_array_length(g.names) > 5 then '{"other": true}'::jsonb else '{}' end
             || jsonb_build_object(
               'events', coalesce(c.events, 0), 'prompts', coalesce(c.prompts, 0),
               'input_tokens', coalesce(c.input_tokens, 0), 'output_tokens', coalesce(c.output_tokens, 0),
               'total_tokens', coalesce(c.total_tokens, 0), 'cost', coalesce(c.cost, 0),
               'nano_usd', coalesce(c.nano_usd, 0)
             ) as item,
           p.period, g.names
      from periods p
     cross join groups g
      left join cells c on c.period = p.period and c.names = g.names
     where cardinality(p_group_by) > 0
  )
  select jsonb_build_object(
    'from', v_range.range_from, 'to', v_range.range_to, 'time_zone', p_time_zone,
    'totals', (
      select jsonb_build_object(
        'events', coalesce(sum(c.events), 0), 'prompts', coalesce(sum(c.prompts), 0),
        'input_tokens', coalesce(sum(c.input_tokens), 0), 'output_tokens', coalesce(sum(c.output_tokens), 0),
        'total_tokens', coalesce(sum(c.total_tokens), 0), 'cost', coalesce(sum(c.cost), 0),
        'nano_usd', coalesce(sum(c.nano_usd), 0)
      ) from cells c
    ),
    'series', (select coalesce(jsonb_agg(s.item order by s.period, jsonb_array_length(s.names), s.names), '[]') from series s)
  ) into v_answer;
  return v_answer;
end
$$;
grant execute on function public.summarize_usage(text, text, text, text[], uuid[]) to authenticated;
comment on function public.summarize_usage(text, text, text, text[], uuid[]) is
  'Returns usage of the caller and their devices in a range, from the rollups: {from, to, time_zone, totals, series}, grouped by any of day, week, month (one of them), provider, model, source, device, user; periods without use are there with zeros. Of more than 10,000 rows the groups used least are one, marked by other. Raises RANGE_NOT_VALID.';

-- Items are taken per account in the order given, each gets an outcome of its own.
create or replace function public.track_usage(p_items jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: the only writer of the counters and the events behind them; no API role may write them itself.
declare
  v_most constant bigint := 9007199254740991;
  v_today constant date := (now() at time zone 'UTC')::date;
  v_tomorrow constant integer := ceil(extract(epoch from (v_today + 1)::timestamp at time zone 'UTC' - now()));
  v_users uuid[];
  v_item record;
  v_user uuid;
  v_prompts bigint;
  v_tokens bigint;
  v_day_prompts bigint;
  v_day_tokens bigint;
  v_answer jsonb;
  v_answers jsonb[] := '{}';
  v_hash bytea;
  v_earlier private.idempotency_keys;
  v_keys text[] := '{}';
  v_stored private.idempotency_keys[] := '{}';
  v_position integer;
  v_events public.usage_events[] := '{}';
begin
  select array_agg(distinct i.user_id) into v_users from jsonb_to_recordset(p_items) as i(user_id uuid);
  -- Counters are made and then locked, both in id order, so concurrent calls cannot deadlock.
  insert into public.tracker_counters (user_id)
  select u.id from public.users u where u.id = any (v_users) order by u.id
  on conflict (user_id) do nothing;
  perform from public.tracker_counters c where c.user_id = any (v_users) order by c.user_id for update;

  for v_item in
    select i.ord::integer as ord, i.user_id, i.usage, i.token_count, i.key, i.most_prompts, i.most_tokens,
           c.user_id is not null as known, u.suspended_at, i.version is distinct from c.version as revoked,
           c.prompts, c.tokens, b.period,
           case when c.counted_on = v_today then c.day_prompts else 0 end as day_prompts,
           case when c.counted_on = v_today then c.day_tokens else 0 end as day_tokens,
           k.request_hash as earlier_hash, k.answer as earlier_answer
      from rows from (
        jsonb_to_recordset(p_items) as (
          user_id uuid, version integer, usage integer, token_count bigint, key text, most_prompts bigint, most_tokens bigint
        )
      ) with ordinality as i(user_id, version, usage, token_count, key, most_prompts, most_tokens, ord)
      left join public.tracker_counters c on c.user_id = i.user_id
      left join public.users u on u.id = i.user_id
      left join public.balances b on b.subject_id = i.user_id
      left join private.idempotency_keys k on k.subject_id = i.user_id and k.key = i.key
     order by i.user_id, i.ord
  loop
    if v_user is distinct from v_item.user_id then
      v_user := v_item.user_id;
      v_prompts := v_item.prompts;
      v_tokens := v_item.tokens;
      v_day_prompts := v_item.day_prompts;
      v_day_tokens := v_item.day_tokens;
    end if;

    v_hash := null;
    v_answer := case
      when not v_item.known then '{"code": "USER_NOT_FOUND"}'::jsonb
      when v_item.revoked then '{"code": "TRACKER_TOKEN_INVALID"}'::jsonb
      when v_item.suspended_at is not null then '{"code": "ACCOUNT_SUSPENDED"}'::jsonb
    end;

    -- A key seen before, in an earlier call or earlier in this one, repeats its answer.
    if v_answer is null and v_item.key is not null then
      v_hash := sha256(convert_to(jsonb_build_array('track', v_item.usage, v_item.token_count)::text, 'UTF8'));
      v_position := array_position(v_keys, v_user || v_item.key);
      v_earlier := row(v_user, v_item.key, v_item.earlier_hash, v_item.earlier_answer, null);
      if v_position is not null then
        v_earlier := v_stored[v_position];
      end if;
      v_answer := case
        when v_earlier.request_hash is null then null
        when v_earlier.request_hash = v_hash then v_earlier.answer
        else '{"code": "IDEMPOTENCY_MISMATCH"}'::jsonb
      end;
    end if;

    if v_answer is null and (v_item.usage > v_most - v_prompts or v_item.token_count > v_most - v_tokens) then
      v_answer := '{"code": "COUNTER_FULL"}'::jsonb;
    elsif v_answer is null and (
      v_item.usage > v_item.most_prompts - v_day_prompts or v_item.token_count > v_item.most_tokens - v_day_tokens
    ) then
      v_answer := jsonb_build_object('code', 'TRACKER_DAY_LIMIT', 'retry_after', v_tomorrow);
    elsif v_answer is null then
      v_prompts := v_prompts + v_item.usage;
      v_tokens := v_tokens + v_item.token_count;
      v_day_prompts := v_day_prompts + v_item.usage;
      v_day_tokens := v_day_tokens + v_item.token_count;
      v_events := v_events || row(
        gen_random_uuid(), v_user, v_user, null, 'tracker', 'unknown', 'unknown', v_item.usage,
        0, 0, v_item.token_count, 0, 'client_reported', v_item.period, null, now(), now(), null
      )::public.usage_events;
      v_answer := jsonb_build_object('prompts', v_prompts, 'tokens', v_tokens);
      -- Only what took effect is remembered: a refused item counted nothing and may be tried again.
      if v_hash is not null then
        v_stored := v_stored || row(v_user, v_item.key, v_hash, v_answer, now())::private.idempotency_keys;
        v_keys := array_append(v_keys, v_user || v_item.key);
      end if;
    end if;
    v_answers[v_item.ord] := v_answer;
  end loop;

  if cardinality(v_events) > 0 then
    perform private.record_usage_events(v_events);
  end if;
  if cardinality(v_stored) > 0 then
    insert into private.idempotency_keys select k.* from unnest(v_stored) k;
  end if;
  update public.tracker_counters c
     set prompts = c.prompts + tracked.prompts, tokens = c.tokens + tracked.tokens, updated_at = now(),
         day_prompts = case when c.counted_on = v_today then c.day_prompts else 0 end + tracked.prompts,
         day_tokens = case when c.counted_on = v_today then c.day_tokens else 0 end + tracked.tokens,
         counted_on = v_today
    from (
      select e.user_id, sum(e.prompt_count) as prompts, sum(e.total_tokens) as tokens
        from unnest(v_events) e group by e.user_id
    ) tracked
   where c.user_id = tracked.user_id;
  return to_jsonb(v_answers);
end
$$;
grant execute on function public.track_usage(jsonb) to service_role;
comment on function public.track_usage(jsonb) is
  'Adds to the counters of accounts in one transaction. Takes an array of {user_id, version, usage, token_count, key, most_prompts, most_tokens}, the last two what may be counted a day (UTC); returns an array of outcomes in the same order: {prompts, tokens} after the item, or {code} where it was refused.';

create or replace function public.verify_ledger()
returns table (name text, ok boolean, checked bigint, discrepancies jsonb)
language plpgsql stable security definer set search_path = '' set statement_timeout = '15min'
as $$
-- Definer: reads every subject's rows, which no API role may. Stable: one snapshot for all checks.
begin
  return query
  with
  allocations as (
    select b.subject_id, b.allocated as stated, coalesce(e.total, 0) as proven
      from public.balances b
      full join (select subject_id, sum(amount) as total from public.ledger_entries group by subject_id) e using (subject_id)
  ),
  spent as (
    select b.subject_id, b.used + b.debt as stated, coalesce(e.total, 0) as proven
      from public.balances b
      left join (
        select subject_id, period, sum(cost) as total
          from (
            select subject_id, period, cost from public.usage_events
            union all
            select subject_id, period, cost from private.retired_usage
          ) debits
         group by subject_id, period
      ) e on e.subject_id = b.subject_id and e.period = b.period
  ),
  held as (
    select subject_id, b.reserved as stated, coalesce(r.total, 0) as proven
      from public.balances b
      full join (
        select subject_id, sum(amount) as total from public.reservations where status = 'held' group by subject_id
      ) r using (subject_id)
  ),
  full_days as (
    select subject_id, day from private.rollup_names group by subject_id, day having count(*) >= private.rollup_name_limit()
  ),
  events as (
    select e.subject_id, date_bin('15 minutes', e.occurred_at, 'epoch') as bucket,
           case when f.day is null or n.day is not null then e.provider else 'other' end as provider,
           case when f.day is null or n.day is not null then e.model else 'other' end as model, e.source,
           count(*) as events, sum(prompt_count) as prompts, sum(input_tokens) as input_tokens,
           sum(output_tokens) as output_tokens, sum(total_tokens) as total_tokens, sum(cost) as cost,
           coalesce(sum(nano_usd), 0) as nano_usd
      from public.usage_events e
      left join full_days f on f.subject_id = e.subject_id and f.day = (e.occurred_at at time zone 'UTC')::date
      left join private.rollup_names n
        on n.subject_id = f.subject_id and n.day = f.day and n.provider = e.provider and n.model = e.model
     group by 1, 2, 3, 4, 5
  ),
  rollups as (
    select subject_id,
           array[
             r.events, r.prompts, r.input_tokens, r.output_tokens, r.total_tokens, r.cost, r.nano_usd
           ]::numeric[] as stated,
           array[
             e.events, e.prompts, e.input_tokens, e.output_tokens, e.total_tokens, e.cost, e.nano_usd
           ]::numeric[] as proven
      from public.usage_rollups r
      full join events e using (subject_id, bucket, provider, model, source)
     -- Rollups outlive the events retention drops.
     where bucket >= (select min(lower_bound) from private.usage_partitions())
  ),
  totals as (
    select bucket::text as subject, t.stated, r.proven
      from (
        select bucket,
               array[
                 sum(events), sum(prompts), sum(input_tokens), sum(output_tokens), sum(total_tokens), sum(cost), sum(nano_usd)
               ] as stated
          from public.usage_totals group by bucket
      ) t
      full join (
        select bucket,
               array[
                 sum(events), sum(prompts), sum(input_tokens), sum(output_tokens), sum(total_tokens), sum(cost), sum(nano_usd)
               ] as proven
          from public.usage_rollups group by bucket
      ) r using (bucket)
  ),
  pools as (
    select p.subject_kind, p.allocated as stated, coalesce(b.total, 0) as proven
      from public.budgets p
      left join (select subject_kind, sum(allocated) as total from public.balances group by subject_kind) b using (subject_kind)
  ),
  transfers as (
    select e.reference, 0::numeric as stated, sum(e.amount) as proven
      from public.ledger_entries e where e.kind = 'transfer' group by e.reference
  ),
  tracked as (
    select u.id as subject_id,
           array[coalesce(c.prompts, 0), coalesce(c.tokens, 0)]::numeric[] as stated,
           array[coalesce(r.prompts, 0), coalesce(r.tokens, 0)]::numeric[] as proven
      from public.users u
      left join public.tracker_counters c on c.user_id = u.id
      left join (
        select subject_id, sum(prompts) as prompts, sum(total_tokens) as tokens
          from public.usage_rollups where source = 'tracker' group by subject_id
      ) r on r.subject_id = u.id
     where c.user_id is not null or r.subject_id is not null
  ),
  owed as (
    select b.subject_id, b.debt as stated, 0::bigint as proven
      from public.balances b where b.debt > 0 and b.allocated > b.used + b.reserved
  ),
  -- A closed generation has one event of what it was settled at; corrections are ledger entries.
  generated as (
    select g.id as subject_id,
           case r.status
             when 'held' then 0
             else private.weighted_tokens(g, g.input_tokens, g.output_tokens) - g.uncollected + coalesce(c.amount, 0)
           end::numeric as stated,
           coalesce(e.cost, 0) as proven
      from public.generations g
      join public.reservations r on r.id = g.id
      left join (
        select id, sum(cost) as cost from public.usage_events where source in ('chat', 'api') group by id
      ) e on e.id = g.id
      left join (
        select reference, sum(amount) as amount from public.ledger_entries where kind = 'correction' group by reference
      ) c on c.reference = 'generation:' || g.id
     where r.closed_at is null or r.closed_at >= (select min(lower_bound) from private.usage_partitions())
  ),
  findings as (
    select 'allocated = sum of ledger entries' as title, subject_id::text as subject, to_jsonb(stated) as stated, to_jsonb(proven) as proven from allocations
    union all
    select 'used + debt = sum of event costs in the period', subject_id::text, to_jsonb(stated), to_jsonb(proven) from spent
    union all
    select 'reserved = sum of held reservations', subject_id::text, to_jsonb(stated), to_jsonb(proven) from held
    union all
    select 'rollups = sums of events', subject_id::text, to_jsonb(stated), to_jsonb(proven) from rollups
    union all
    select 'totals = sums of rollups', subject, to_jsonb(stated), to_jsonb(proven) from totals
    union all
    select 'legs of each transfer cancel out', reference, to_jsonb(stated), to_jsonb(proven) from transfers
    union all
    select 'pools = sums of allocations', subject_kind, to_jsonb(stated), to_jsonb(proven) from pools
    union all
    select 'tracker counters = sums of tracker rollups', subject_id::text, to_jsonb(stated), to_jsonb(proven) from tracked
    union all
    select 'debt only where nothing is left', subject_id::text, to_jsonb(stated), to_jsonb(proven) from owed
    union all
    select 'generations = their events and corrections', subject_id::text, to_jsonb(stated), to_jsonb(proven) from generated
  ),
  titles(position, title) as (
    values
      (1, 'allocated = sum of ledger entries'),
      (2, 'used + debt = sum of event costs in the period'),
      (3, 'reserved = sum of held reservations'),
      (4, 'rollups = sums of events'),
      (5, 'totals = sums of rollups'),
      (6, 'legs of each transfer cancel out'),
      (7, 'pools = sums of allocations'),
      (8, 'tracker counters = sums of tracker rollups'),
      (9, 'debt only where nothing is left'),
      (10, 'generations = their events and corrections')
  )
  select t.title,
         count(*) filter (where f.stated is distinct from f.proven and f.title is not null) = 0,
         count(f.title),
         coalesce(
           jsonb_agg(jsonb_build_object('subject', f.subject, 'stated', f.stated, 'proven', f.proven))
             filter (where f.stated is distinct from f.proven and f.title is not null),
           '[]'
         )
    from titles t left join findings f on f.title = t.title
   group by t.position, t.title
   order by t.position;
end
$$;
grant execute on function public.verify_ledger() to service_role;
comment on function public.verify_ledger() is
  'Recomputes every balance, hold, rollup, counter and generation from the rows behind it. One row per check; ok is false where discrepancies lists differences.';

create or replace function public.verify_user(p_actor jsonb, p_user_id uuid, p_default_tokens bigint)
returns jsonb
language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: writes users and balances, which no API role may.
declare
  v_actor text := private.require_admin(p_actor);
  v_user public.users;
  v_granted bigint;
begin
  select u.* into v_user from public.users u where u.id = p_user_id for update;
  if not found then
    raise sqlstate 'PT404' using message = 'USER_NOT_FOUND';
  end if;
  update public.users set email_verified_at = coalesce(email_verified_at, now()), updated_at = now() where id = p_user_id;
  v_granted := private.grant_default_tokens(p_user_id, p_default_tokens, v_actor);
  perform private.audit_admin(
    p_actor, 'verify_user', 'user:' || p_user_id,
    jsonb_build_object('email_verified', v_user.email_verified_at is not null),
    jsonb_build_object('email_verified', true, 'granted', v_granted)
  );
  select u.* into v_user from public.users u where u.id = p_user_id;
  return private.user_json(v_user);
end
$$;
grant execute on function public.verify_user(jsonb, uuid, bigint) to service_role;
comment on function public.verify_user(jsonb, uuid, bigint) is
  'Marks an account''s address as proved on an admin''s word, and pays the default tokens where they were not. Returns the account; raises USER_NOT_FOUND.';

reset check_function_bodies;

-- Notes the SHA-256 of the text above.
select private.record_migration('20261127215038', 'dbb032a7ff060447536bae2f76a1a1e16438311e93236272ee795dca4d98fe74');
