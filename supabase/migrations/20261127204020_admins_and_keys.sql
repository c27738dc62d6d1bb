-- TO DESCRIBE: what changes, and why.

alter table public.users add column if not exists suspended_at timestamptz;
comment on column public.users.suspended_at is
  'Since when an admin keeps the account from everything; null for an account in good standing.';

-- Keys that exist go on, without what opens the account itself.
alter table private.api_keys
  add column if not exists scopes text[] not null default array['usage:write', 'usage:read', 'chat', 'settings']
  constraint api_keys_scopes_known check (
    cardinality(scopes) > 0 and scopes <@ array['usage:write', 'usage:read', 'chat', 'settings', 'account']
  );
comment on column private.api_keys.scopes is 'What it opens: usage:write, usage:read, chat, settings, or account, which is everything.';

set check_function_bodies = off;

drop function if exists private.is_credential_valid(p_user_id uuid, p_session_id uuid, p_api_key_id uuid);

drop function if exists private.lock_user(p_caller jsonb);

drop function if exists private.require_user(p_caller jsonb);

drop function if exists public.change_password(p_caller jsonb, p_password_hash text, p_verified_hash text);

drop function if exists public.confirm_user(p_caller jsonb);

drop function if exists public.create_api_key(p_caller jsonb, p_name text, p_prefix text, p_key_hash text, p_expires_at text);

drop function if exists public.require_current_user();

drop function if exists public.reset_password(p_token_hash text, p_password_hash text);

create or replace function private.api_key_json(p_key private.api_keys)
returns jsonb
language sql stable set search_path = '' set timezone = 'UTC'
as $$
  select jsonb_build_object(
    'id', p_key.id, 'name', p_key.name, 'prefix', p_key.prefix, 'created_at', p_key.created_at,
    'last_used_at', p_key.last_used_at, 'expires_at', p_key.expires_at, 'scopes', p_key.scopes
  )
$$;
comment on function private.api_key_json(private.api_keys) is 'Returns a key as its owner sees it, without its hash.';

create or replace function private.api_keys_json(p_user_id uuid)
returns jsonb
language sql stable set search_path = ''
as $$
  select coalesce(jsonb_agg(private.api_key_json(k) order by k.created_at desc, k.id desc), '[]')
    from private.api_keys k where k.user_id = p_user_id
$$;
comment on function private.api_keys_json(uuid) is 'Returns the keys of an account, newest first.';

-- In plpgsql because it keeps its plans: this is asked with every request, and planning it anew each time took longer than
-- everything else of taking a hold.
create or replace function private.credential_problem(
  p_user_id uuid, p_session_id uuid, p_api_key_id uuid, p_scope text
)
returns text
language plpgsql stable set search_path = ''
as $$
declare
  v_problem text;
begin
  if p_session_id is not null then
    select case when u.suspended_at is not null then 'ACCOUNT_SUSPENDED' end into v_problem
      from private.sessions s join public.users u on u.id = s.user_id
     where s.id = p_session_id and s.user_id = p_user_id and s.expires_at > now();
  elsif p_api_key_id is not null then
    select case
             when u.suspended_at is not null then 'ACCOUNT_SUSPENDED'
             when p_scope is not null and not k.scopes && array[p_scope, 'account'] then 'INSUFFICIENT_SCOPE'
           end
      into v_problem
      from private.api_keys k join public.users u on u.id = k.user_id
     where k.id = p_api_key_id and k.user_id = p_user_id and (k.expires_at is null or k.expires_at > now());
  else
    select case when u.suspended_at is not null then 'ACCOUNT_SUSPENDED' end into v_problem
      from public.users u where u.id = p_user_id;
  end if;
  return case when found then v_problem else 'INVALID_TOKEN' end;
end
$$;
comment on function private.credential_problem(uuid, uuid, uuid, text) is
  'Returns why the session or API key may not act for this account at the moment, null where it may: INVALID_TOKEN for one that has ended, ACCOUNT_SUSPENDED, INSUFFICIENT_SCOPE for a key that has neither this scope nor account. With neither credential only the account is looked at; a null scope asks for none.';

-- Whoever changes a password because somebody else knew it has to hear of the keys that person may have made.
create or replace function private.keys_after_password(p_user_id uuid, p_revoke boolean)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
begin
  if p_revoke then
    delete from private.api_keys where user_id = p_user_id;
  end if;
  return private.api_keys_json(p_user_id);
end
$$;
comment on function private.keys_after_password(uuid, boolean) is
  'Ends all keys of an account where that is wished; returns those that go on.';

-- Called first by whatever adds to an account or changes how it is opened: such calls wait for each other, for a deletion
-- and for whoever takes the account over, and only then check that the caller's session is still valid.
create or replace function private.lock_user(p_caller jsonb, p_scope text default 'account')
returns uuid
language plpgsql volatile set search_path = ''
as $$
begin
  perform from public.users u where u.id = (p_caller ->> 'id')::uuid for no key update;
  return private.require_user(p_caller, p_scope);
end
$$;
comment on function private.lock_user(jsonb, text) is
  'Returns what require_user does, with the account locked until the transaction ends.';

create or replace function private.refuse_credential(p_problem text, p_scope text)
returns void
language plpgsql stable set search_path = ''
as $$
begin
  if p_problem = 'INVALID_TOKEN' then
    raise sqlstate 'PT401' using message = 'INVALID_TOKEN';
  elsif p_problem = 'INSUFFICIENT_SCOPE' then
    raise sqlstate 'PT403' using message = 'INSUFFICIENT_SCOPE', detail = jsonb_build_object('scope', p_scope);
  elsif p_problem is not null then
    raise sqlstate 'PT403' using message = p_problem;
  end if;
end
$$;
comment on function private.refuse_credential(text, text) is
  'Raises what credential_problem returned, with the status it belongs to; does nothing for null.';

-- Called first by every function that acts for a person: the credential is checked in the transaction that uses it. What
-- names no scope is part of the account, which keys do not open unless they were made for it.
create or replace function private.require_user(p_caller jsonb, p_scope text default 'account')
returns uuid
language plpgsql stable set search_path = ''
as $$
declare
  v_user_id uuid := (p_caller ->> 'id')::uuid;
begin
  perform private.refuse_credential(
    private.credential_problem(
      v_user_id, (p_caller ->> 'session_id')::uuid, (p_caller ->> 'api_key_id')::uuid, p_scope
    ),
    p_scope
  );
  return v_user_id;
end
$$;
comment on function private.require_user(jsonb, text) is
  'Returns the account of the caller {id, session_id | api_key_id}; raises INVALID_TOKEN, ACCOUNT_SUSPENDED, or INSUFFICIENT_SCOPE for a key without the scope.';

create or replace function public.authenticate_api_key(p_key_hash text)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: no API role may read private.api_keys.
declare
  v_key private.api_keys;
begin
  select * into v_key from private.api_keys k where k.key_hash = decode(p_key_hash, 'hex');
  if v_key.id is null or v_key.expires_at <= now() then
    raise sqlstate 'PT401' using message = 'INVALID_TOKEN';
  end if;
  -- A key many servers use at once is not written for each of them.
  update private.api_keys set last_used_at = now()
   where id = v_key.id and (last_used_at is null or last_used_at < now() - interval '30 seconds');
  return jsonb_build_object('id', v_key.user_id, 'api_key_id', v_key.id, 'scopes', v_key.scopes);
end
$$;
grant execute on function public.authenticate_api_key(text) to service_role;
comment on function public.authenticate_api_key(text) is
  'Returns whose key this is (SHA-256 in hex): {id, api_key_id, scopes}, and notes its use. Raises INVALID_TOKEN for one that is unknown or has ended.';

create or replace function public.change_password(
  p_caller jsonb, p_password_hash text, p_verified_hash text default null, p_revoke_keys boolean default false
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
  return jsonb_build_object(
    'ended', private.end_sessions(v_user_id, (p_caller ->> 'session_id')::uuid),
    'api_keys', private.keys_after_password(v_user_id, p_revoke_keys)
  );
end
$$;
grant execute on function public.change_password(jsonb, text, text, boolean) to service_role;
comment on function public.change_password(jsonb, text, text, boolean) is
  'Sets the password where it still is the verified one, or the first one where none was verified, and ends every other session, mailed links and, where wished, the API keys. Returns {ended, api_keys}: those that go on; raises INVALID_CREDENTIALS.';

create or replace function public.changed_states(p_listeners jsonb)
returns jsonb
language sql stable security definer set search_path = ''
as $$
-- Definer: asks for sessions and keys, and reads what belongs to many people.
  select coalesce(jsonb_agg(
           jsonb_build_object(
             'position', l.ord - 1, 'live', l.live, 'version', coalesce(s.version, 0),
             'allocated', coalesce(b.allocated, 0), 'used', coalesce(b.used, 0), 'reserved', coalesce(b.reserved, 0)
           )
         ), '[]')
    from (
      select r.*, private.credential_problem(r.id, r.session_id, r.api_key_id, 'settings') is null as live
        from rows from (
          jsonb_to_recordset(p_listeners) as (
            id uuid, session_id uuid, api_key_id uuid, version bigint, allocated bigint, used bigint, reserved bigint
          )
        ) with ordinality as r(id, session_id, api_key_id, version, allocated, used, reserved, ord)
    ) l
    left join public.settings s on s.user_id = l.id
    left join public.balances b on b.subject_id = l.id
   where not l.live
      or (coalesce(s.version, 0), coalesce(b.allocated, 0), coalesce(b.used, 0), coalesce(b.reserved, 0))
        is distinct from (l.version, l.allocated, l.used, l.reserved)
$$;
grant execute on function public.changed_states(jsonb) to service_role;
comment on function public.changed_states(jsonb) is
  'Returns which of an array of listeners {id, session_id | api_key_id, version, allocated, used, reserved} know another state than the present one, or may listen no longer: [{position, live, version, allocated, used, reserved}].';

create or replace function public.confirm_user(p_caller jsonb, p_scope text)
returns boolean
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: no API role may read sessions and keys.
begin
  return private.require_user(p_caller, p_scope) is not null;
end
$$;
grant execute on function public.confirm_user(jsonb, text) to service_role;
comment on function public.confirm_user(jsonb, text) is
  'Returns true where the caller''s session, or key with this scope, is good, for what asks the database nothing else; raises what require_user does.';

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
  return private.api_key_json(v_key);
exception
  -- Well formed, but there is no such time.
  when data_exception then
    raise sqlstate 'PT400' using message = 'VALIDATION_FAILED';
end
$$;
grant execute on function public.create_api_key(jsonb, text, text, text, text[], text) to service_role;
comment on function public.create_api_key(jsonb, text, text, text, text[], text) is
  'Keeps a new key''s SHA-256 (hex) and returns the key without it; one made by a key ends with it at the latest. Raises API_KEY_LIMIT beyond 50, VALIDATION_FAILED for an end in the past.';

create or replace function public.current_user_id()
returns uuid
language sql stable security definer set search_path = ''
as $$
-- Definer: no API role may read sessions and keys, but policies must ask for them.
  select c.user_id
    from (
      select (auth.jwt() ->> 'sub')::uuid as user_id, (auth.jwt() ->> 'sid')::uuid as session_id,
             (auth.jwt() ->> 'key_id')::uuid as api_key_id
    ) c
   where private.credential_problem(c.user_id, c.session_id, c.api_key_id, null) is null
$$;
grant execute on function public.current_user_id() to authenticated;
comment on function public.current_user_id() is
  'Returns the account the request''s token is about; null where it is suspended, or the session (sid) or API key (key_id) it names has ended.';

create or replace function public.delete_usage(p_caller jsonb, p_id uuid)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: events are append-only for every API role.
declare
  v_user_id uuid := private.require_user(p_caller, 'usage:write');
  v_event public.usage_events;
begin
  -- Only observed events have ids that say when they happened; what was debited has another and is not found here.
  delete from public.usage_events e
   where e.subject_id = v_user_id and e.occurred_at = private.usage_event_time(p_id) and e.id = p_id
     and e.source = 'extension' and e.cost = 0
  returning * into v_event;
  if v_event.id is null then
    raise sqlstate 'PT404' using message = 'USAGE_NOT_FOUND';
  end if;
  perform private.take_out_usage(v_event);
  return jsonb_build_object('id', p_id, 'deleted', true);
end
$$;
grant execute on function public.delete_usage(jsonb, uuid) to service_role;
comment on function public.delete_usage(jsonb, uuid) is
  'Deletes an observed event of the caller, in its rollups too. Returns {id, deleted}; raises USAGE_NOT_FOUND, also for what was debited.';

create or replace function public.list_api_keys(p_caller jsonb)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: no API role may read private.api_keys.
declare
  v_user_id uuid := private.require_user(p_caller);
begin
  return private.api_keys_json(v_user_id);
end
$$;
grant execute on function public.list_api_keys(jsonb) to service_role;
comment on function public.list_api_keys(jsonb) is 'Returns the account''s keys, newest first; at most 50, so that one answer holds them all.';

create or replace function public.meter_chat(p_items jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: the only writer of generations; no API role may write balances, holds or events itself.
declare
  v_item record;
  v_generation public.generations;
  v_balance public.balances;
  v_status text;
  v_problem text;
  v_output bigint;
  v_subjects uuid[];
  v_answer jsonb;
  v_answers jsonb[] := '{}';
  v_events public.usage_events[] := '{}';
begin
  select array_agg(distinct s.subject_id) into v_subjects
    from (
      select coalesce(g.subject_id, i.id, e.user_id) as subject_id
        from jsonb_to_recordset(p_items) as i(op text, id uuid, google_subject text, hold uuid)
        left join public.generations g on g.id = i.hold and i.op <> 'reserve'
        left join private.external_identities e on e.provider = 'google' and e.subject = i.google_subject
    ) s;
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
          upstream_id text, provenance text, input_tokens bigint
        )
      ) with ordinality as i(
        op, id, session_id, api_key_id, google_subject, hold, source, model, input_estimate, output_tokens,
        idempotency_key, request_hash, provider, upstream_id, provenance, input_tokens, ord
      )
      left join private.external_identities e on e.provider = 'google' and e.subject = i.google_subject
     order by i.ord
  loop
    v_answer := null;
    if v_item.op = 'reserve' then
      select b.* into v_balance from public.balances b where b.subject_id = v_item.user_id;
      v_problem := private.credential_problem(v_item.user_id, v_item.session_id, v_item.api_key_id, 'chat');
      v_output := least(
        v_item.output_tokens, v_balance.allocated - v_balance.used - v_balance.reserved - v_item.input_estimate
      );
      v_answer := case
        when v_item.google_subject is not null and v_item.user_id is null then '{"code": "USER_NOT_FOUND"}'
        when v_balance.subject_id is null then '{"code": "INVALID_TOKEN"}'
        when v_problem is not null then jsonb_build_object('code', v_problem)
        when v_output < 1 then jsonb_build_object(
          'code', 'INSUFFICIENT_TOKENS', 'requested', v_item.input_estimate + 1,
          'remaining', v_balance.allocated - v_balance.used - v_balance.reserved
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
           set reserved = b.reserved + v_item.input_estimate + v_output, updated_at = now()
         where b.subject_id = v_item.user_id
           and b.allocated - b.used - b.reserved >= v_item.input_estimate + v_output
        returning b.* into strict v_balance;
        insert into public.reservations (id, subject_id, amount, model, prompt_count, expires_at)
        values (
          v_item.hold, v_item.user_id, v_item.input_estimate + v_output, v_item.model, 1, now() + interval '5 minutes'
        );
        insert into public.generations (id, subject_id, source, model, input_estimate)
        values (v_item.hold, v_item.user_id, v_item.source, v_item.model, v_item.input_estimate);
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
      if v_status is null then
        v_answer := '{"code": "RESERVATION_NOT_FOUND"}';
      elsif v_item.op = 'extend' and v_status <> 'held' then
        v_answer := '{"code": "RESERVATION_SETTLED"}';
      elsif v_item.op = 'extend' then
        -- Also with nothing to add: a running stream says that it is still there, and what upstream calls it.
        v_output := least(v_item.output_tokens, v_balance.allocated - v_balance.used - v_balance.reserved);
        update public.balances b
           set reserved = b.reserved + v_output, updated_at = now()
         where b.subject_id = v_generation.subject_id and v_output > 0;
        update public.reservations r
           set amount = r.amount + v_output, expires_at = now() + interval '5 minutes'
         where r.id = v_item.hold;
        update public.generations g
           set provider = v_generation.provider, upstream_id = v_generation.upstream_id
         where g.id = v_item.hold
           and (g.provider, g.upstream_id) is distinct from (v_generation.provider, v_generation.upstream_id);
        v_answer := jsonb_build_object('output_tokens', v_output);
      elsif v_item.op = 'settle' then
        -- Only the first settlement counts: one that is sent again finds the hold closed.
        if v_status = 'held' and v_item.input_tokens + v_item.output_tokens > 0 then
          v_events := v_events || private.close_generation(
            v_generation, 'settled', v_item.provenance, v_item.input_tokens, v_item.output_tokens
          );
        elsif v_status = 'held' then
          -- What was not billed may be asked for again with the same key.
          delete from private.idempotency_keys k
           where k.subject_id = v_generation.subject_id and k.answer = jsonb_build_object('hold', v_item.hold);
          perform private.close_generation(v_generation, 'released', null, 0, 0);
        end if;
        select jsonb_build_object(
                 'tokens_used', g.input_tokens + g.output_tokens, 'remaining', b.allocated - b.used - b.reserved
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
  'Takes, extends and settles holds of chat requests in one transaction. Takes an array of {op: reserve, id, session_id | api_key_id or google_subject, hold, source, model, input_estimate, output_tokens, idempotency_key, request_hash}, {op: extend, hold, output_tokens, provider, upstream_id} and {op: settle, hold, input_tokens, output_tokens, provenance, provider, upstream_id}; returns an array in the same order: {output_tokens, remaining}, {output_tokens}, {tokens_used, remaining}, or {code, …} where the item was refused.';

create or replace function public.my_balance()
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
declare
  v_user_id uuid := public.require_current_user('usage:read');
begin
  return (
    select jsonb_build_object(
             'allocated', coalesce(b.allocated, 0), 'used', coalesce(b.used, 0), 'reserved', coalesce(b.reserved, 0),
             'remaining', coalesce(b.allocated - b.used - b.reserved, 0), 'debt', coalesce(b.debt, 0)
           )
      from (select 1) one left join public.balances b on b.subject_id = v_user_id
  );
end
$$;
grant execute on function public.my_balance() to authenticated;
comment on function public.my_balance() is 'Returns the caller''s balance: {allocated, used, reserved, remaining, debt}.';

create or replace function public.my_ledger(
  p_limit integer, p_after_at text default null, p_after_kind text default null, p_after_id uuid default null
)
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user('usage:read');
  v_at timestamptz;
  v_kind text := coalesce(p_after_kind, '');
  v_id uuid := coalesce(p_after_id, '00000000-0000-0000-0000-000000000000');
begin
  v_at := coalesce(p_after_at::timestamptz, 'infinity');
  -- Each source is cut to a page by its own index before the three are put in one order.
  return (
    select coalesce(
             jsonb_agg(jsonb_strip_nulls(to_jsonb(page)) order by page.created_at desc, page.kind desc, page.id desc), '[]'
           )
      from (
        (
          -- Who did it is told, which admin it was is not.
          select e.id, e.kind, e.amount, case when e.actor like 'admin:%' then 'admin' else 'system' end as provenance,
                 null as model, null as provider, null as source, e.reference, null as status,
                 null::timestamptz as expires_at, e.created_at
            from public.ledger_entries e
           where e.subject_id = v_user_id
             and e.created_at <= v_at and (e.created_at, e.kind, e.id) < (v_at, v_kind, v_id)
           order by e.created_at desc, e.kind desc, e.id desc
           limit p_limit
        )
        union all
        (
          select e.id, 'debit', -e.cost, e.provenance, e.model, e.provider, e.source, null, null, null, e.occurred_at
            from public.usage_events e
           where e.subject_id = v_user_id and e.cost > 0 and e.source <> 'device'
             and e.occurred_at <= v_at and (e.occurred_at, 'debit', e.id) < (v_at, v_kind, v_id)
           order by e.occurred_at desc, e.id desc
           limit p_limit
        )
        union all
        (
          select r.id, 'hold', r.amount, 'estimated', r.model, null, null, null, r.status, r.expires_at, r.created_at
            from public.reservations r
           where r.subject_id = v_user_id
             and r.created_at <= v_at and (r.created_at, 'hold', r.id) < (v_at, v_kind, v_id)
           order by r.created_at desc, r.id desc
           limit p_limit
        )
        order by created_at desc, kind desc, id desc
        limit p_limit
      ) page
  );
exception
  -- The cursor comes from the caller.
  when data_exception then
    raise sqlstate 'PT400' using message = 'VALIDATION_FAILED';
end
$$;
grant execute on function public.my_ledger(integer, text, text, uuid) to authenticated;
comment on function public.my_ledger(integer, text, text, uuid) is
  'Returns the caller''s grants and corrections, debits (negative) and holds in one list, newest first; after (time, kind, id) to page on.';

create or replace function public.my_settings()
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user('settings');
begin
  return (
    select jsonb_build_object(
             'settings', coalesce(v.settings, '{}'), 'version', coalesce(s.version, 0),
             'last_synced_at', s.last_synced_at
           )
      from (select 1) one
      left join public.settings s on s.user_id = v_user_id
      left join public.settings_versions v on v.user_id = s.user_id and v.version = s.version
  );
end
$$;
grant execute on function public.my_settings() to authenticated;
comment on function public.my_settings() is 'Returns the caller''s settings: {settings, version, last_synced_at}.';

create or replace function public.my_settings_changes(p_since bigint)
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user('settings');
  v_settings public.settings;
  v_full boolean;
begin
  select s.* into v_settings from public.settings s where s.user_id = v_user_id;
  -- Also for a version there never was: a device may remember more than a database that was restored.
  v_full := p_since = 0 or p_since < coalesce(v_settings.pruned_version, 0) or p_since > coalesce(v_settings.version, 0);
  return jsonb_build_object(
    'version', coalesce(v_settings.version, 0), 'last_synced_at', v_settings.last_synced_at, 'full', v_full,
    'changes', (
      select coalesce(jsonb_object_agg(
               e.name,
               jsonb_build_object('updated_at', e.updated_at, 'device', nullif(e.device, ''), 'version', e.version)
                 || case when e.deleted then '{"deleted": true}' else jsonb_build_object('value', e.value) end
             ), '{}')
        from public.settings_entries e
       where e.user_id = v_user_id and (v_full or e.version > p_since)
    )
  );
end
$$;
grant execute on function public.my_settings_changes(bigint) to authenticated;
comment on function public.my_settings_changes(bigint) is
  'Returns what changed in the caller''s settings after a version, deletions included: {version, last_synced_at, full, changes}; full where that is everything there is.';

create or replace function public.my_settings_history()
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user('settings');
begin
  return (
    select jsonb_build_object('versions', coalesce(
             jsonb_agg(
               jsonb_build_object(
                 'version', v.version, 'settings', v.settings, 'action', v.action, 'device', nullif(v.device, ''),
                 'created_at', v.created_at
               )
               order by v.version desc
             ), '[]'))
      from public.settings_versions v where v.user_id = v_user_id
  );
end
$$;
grant execute on function public.my_settings_history() to authenticated;
comment on function public.my_settings_history() is
  'Returns the last 20 versions of the caller''s settings, newest first: {versions: [{version, settings, action, device, created_at}]}.';

-- The usage queries run with their caller's rights: for a person row-level security decides, and for an admin list_all_usage
-- and summarize_all_usage ask for everybody.
create or replace function public.own_subjects()
returns uuid[]
language sql stable set search_path = ''
as $$
  select array_agg(subject_id)
    from (
      select public.require_current_user('usage:read') as subject_id
      union all
      select d.id from public.devices d where d.user_id = (select public.current_user_id())
    ) own
$$;
grant execute on function public.own_subjects() to authenticated;
comment on function public.own_subjects() is
  'Returns the caller and their devices: whose rows to look for. Row-level security still decides which of them are seen.';

create or replace function public.push_settings(
  p_caller jsonb, p_base_version bigint, p_changes jsonb, p_device text default ''
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes settings, which no API role may.
declare
  v_user_id uuid := private.lock_user(p_caller, 'settings');
  v_won jsonb;
  v_overruled jsonb;
begin
  with state as (
    select coalesce(max(s.pruned_version), 0) as pruned_version, coalesce(max(s.pruned_at), 0) as pruned_at
      from public.settings s where s.user_id = v_user_id
  ),
  -- Where a deletion may have been forgotten, an old change of a device that has not heard of it brings nothing back.
  judged as materialized (
    select c.*, e.name is null as is_new, e.value as standing_value,
           coalesce(e.updated_at, s.pruned_at) as standing_at,
           coalesce(e.version, s.pruned_version) as standing_version, e.device as standing_device,
           case
             when e.name is null then c.updated_at > s.pruned_at or p_base_version >= s.pruned_version
             else (c.updated_at, p_device collate "C", c.claimed_at, coalesce(c.value::text, '') collate "C")
               > (e.updated_at, e.device, e.claimed_at, coalesce(e.value::text, '') collate "C")
           end as wins
      from private.resolve_timestamps(v_user_id, p_device, p_changes) c
     cross join state s
      left join public.settings_entries e on e.user_id = v_user_id and e.name = c.name
  )
  select jsonb_agg(jsonb_build_object(
           'name', j.name, 'value', j.value, 'deleted', j.value is null,
           'updated_at', j.updated_at, 'claimed_at', j.claimed_at
         )) filter (where j.wins),
         jsonb_object_agg(
           j.name,
           jsonb_build_object('updated_at', j.standing_at, 'device', nullif(j.standing_device, ''), 'version', j.standing_version)
             || case when j.standing_value is null then '{"deleted": true}'
                  else jsonb_build_object('value', j.standing_value) end
         ) filter (where not j.wins and j.value is distinct from j.standing_value)
    into v_won, v_overruled
    from judged j;
  if v_won is not null then
    perform private.write_settings(v_user_id, 'push', p_device, v_won);
  end if;
  return private.settings_json(v_user_id) || jsonb_build_object('overruled', coalesce(v_overruled, '{}'));
end
$$;
grant execute on function public.push_settings(jsonb, bigint, jsonb, text) to service_role;
comment on function public.push_settings(jsonb, bigint, jsonb, text) is
  'Merges changes {name: {value | deleted, updated_at}} into the caller''s settings; of two of a name the newest wins, then the greater device. Returns {settings, version, last_synced_at, overruled}, overruled with the changes that stand instead; raises SETTINGS_TOO_LARGE.';

create or replace function public.put_settings(
  p_caller jsonb, p_settings jsonb, p_versions bigint[] default null, p_device text default ''
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes settings, which no API role may.
declare
  v_user_id uuid := private.lock_user(p_caller, 'settings');
begin
  -- Returned, not raised: the document must not get into the database's log.
  if p_versions is not null and not (
    coalesce((select s.version from public.settings s where s.user_id = v_user_id), 0) = any (p_versions)
  ) then
    return private.settings_json(v_user_id) || '{"stale": true}';
  end if;
  perform private.overwrite_settings(v_user_id, 'put', p_device, p_settings);
  return private.settings_json(v_user_id) || '{"stale": false}';
end
$$;
grant execute on function public.put_settings(jsonb, jsonb, bigint[], text) to service_role;
comment on function public.put_settings(jsonb, jsonb, bigint[], text) is
  'Replaces the caller''s settings where they are at one of the versions, or at any. Returns {settings, version, last_synced_at, stale}, stale with the document that stands; raises SETTINGS_TOO_LARGE.';

create or replace function public.record_features(p_items jsonb, p_retention_months integer)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: the only writer of feature events and their rollups.
declare
  v_answers jsonb;
begin
  perform private.hold_users(p_items);
  with item as materialized (
    select r.ord, r.id as user_id, r.name, r.properties, gen_random_uuid() as event_id,
           coalesce(timestamptz 'epoch' + r.timestamp_ms * interval '1 millisecond', now()) as occurred_at,
           private.credential_problem(r.id, r.session_id, r.api_key_id, 'usage:write') as problem
      from rows from (
        jsonb_to_recordset(p_items) as (
          id uuid, session_id uuid, api_key_id uuid, name text, properties jsonb, timestamp_ms bigint
        )
      ) with ordinality as r(id, session_id, api_key_id, name, properties, timestamp_ms, ord)
  ),
  judged as materialized (
    select i.*, case
        when i.problem is not null then i.problem
        when i.occurred_at > now() + interval '5 minutes'
          or i.occurred_at < private.usage_horizon(p_retention_months) then 'TIMESTAMP_OUT_OF_RANGE'
      end as code
      from item i
  ),
  recorded as (
    insert into public.feature_events (id, user_id, name, properties, occurred_at)
    select j.event_id, j.user_id, j.name, j.properties, j.occurred_at from judged j where j.code is null
  ),
  counted as (
    insert into public.feature_rollups as r (user_id, bucket, name, events)
    select j.user_id, date_bin('15 minutes', j.occurred_at, 'epoch'), j.name, count(*)
      from judged j where j.code is null
     group by 1, 2, 3
     order by 1, 2, 3
    on conflict (user_id, bucket, name) do update set events = r.events + excluded.events
  )
  select jsonb_agg(
           case when j.code is null then jsonb_build_object('id', j.event_id, 'recorded', true)
             else jsonb_build_object('code', j.code) end
           order by j.ord
         )
    into v_answers
    from judged j;
  return v_answers;
end
$$;
grant execute on function public.record_features(jsonb, integer) to service_role;
comment on function public.record_features(jsonb, integer) is
  'Records uses of features. Takes an array of {id, session_id | api_key_id, name, properties, timestamp_ms}, returns an array in the same order: {id, recorded}, or {code}.';

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
        'client_reported', v_item.period, v_item.url, v_item.occurred_at, now()
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

create or replace function public.refresh_session(p_token_hash text, p_successor_hash text, p_lifetime_seconds integer)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: no API role may read sessions and their tokens. Returns an outcome instead of raising, as a stolen
-- token's session must stay ended.
declare
  v_hash bytea := decode(p_token_hash, 'hex');
  v_successor_hash bytea := decode(p_successor_hash, 'hex');
  v_expires_at timestamptz := now() + make_interval(secs => p_lifetime_seconds);
  v_session private.sessions;
  v_token private.refresh_tokens;
begin
  -- The session's row serialises all that happens to its tokens; what they are is read after the wait for it.
  select s.* into v_session
    from private.sessions s
   where s.id = (select t.session_id from private.refresh_tokens t where t.token_hash = v_hash)
     for update;
  select t.* into v_token from private.refresh_tokens t where t.token_hash = v_hash;
  if v_session.id is null or v_token.token_hash is null or v_session.expires_at <= now() or v_token.expires_at <= now() then
    return jsonb_build_object('outcome', 'unknown');
  end if;

  -- While nobody has used its successor, nobody is known to have it: the answer was lost, or several requests of one
  -- client carry the same token. Afterwards one of two holders is a thief.
  if v_token.used_at is not null and not exists (
    select from private.refresh_tokens t where t.token_hash = v_token.successor_hash and t.used_at is null
  ) then
    delete from private.sessions where id = v_session.id;
    perform private.audit('system:sessions', null, 'refresh_token_reused', 'user:' || v_session.user_id, null, null);
    return jsonb_build_object('outcome', 'reused');
  end if;

  -- Under another secret the successor is another one, and takes the place of the first: there is one lineage.
  delete from private.refresh_tokens where token_hash = v_token.successor_hash and token_hash <> v_successor_hash;
  update private.refresh_tokens set used_at = now(), successor_hash = v_successor_hash where token_hash = v_hash;
  insert into private.refresh_tokens (token_hash, session_id, expires_at)
  values (v_successor_hash, v_session.id, v_expires_at)
  on conflict (token_hash) do update set expires_at = excluded.expires_at;
  update private.sessions set last_used_at = now(), expires_at = v_expires_at where id = v_session.id;
  return jsonb_build_object('outcome', 'refreshed') || private.session_json(v_session.id);
end
$$;
grant execute on function public.refresh_session(text, text, integer) to service_role;
comment on function public.refresh_session(text, text, integer) is
  'Exchanges a refresh token for its successor (both as SHA-256 in hex), also again while that was never used. Returns {outcome: refreshed, session_id, user}, unknown, or reused: then the session has been ended.';

create or replace function public.require_current_user(p_scope text default 'account')
returns uuid
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: no API role may read sessions and keys.
declare
  v_claims jsonb := auth.jwt();
  v_user_id uuid := (v_claims ->> 'sub')::uuid;
begin
  perform private.refuse_credential(
    private.credential_problem(v_user_id, (v_claims ->> 'sid')::uuid, (v_claims ->> 'key_id')::uuid, p_scope), p_scope
  );
  return v_user_id;
end
$$;
grant execute on function public.require_current_user(text) to authenticated;
comment on function public.require_current_user(text) is
  'Returns the account the request''s token is about; raises what require_user does. Policies ask current_user_id, which raises nothing.';

create or replace function public.reset_password(p_token_hash text, p_password_hash text, p_revoke_keys boolean default false)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: reads and writes credentials, which no API role may.
declare
  v_hash bytea := decode(p_token_hash, 'hex');
  v_user_id uuid;
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
  return jsonb_build_object('api_keys', private.keys_after_password(v_user_id, p_revoke_keys));
end
$$;
grant execute on function public.reset_password(text, text, boolean) to service_role;
comment on function public.reset_password(text, text, boolean) is
  'Uses up the token (SHA-256, hex): proves the address, sets the password (argon2id hash) and ends every session and, where wished, the API keys. Returns {api_keys}: those that go on; raises INVALID_RESET_TOKEN for one that is unknown, used, expired or not the newest.';

create or replace function public.restore_settings(p_caller jsonb, p_version bigint, p_device text default '')
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes settings, which no API role may.
declare
  v_user_id uuid := private.lock_user(p_caller, 'settings');
  v_settings jsonb;
begin
  select v.settings into v_settings
    from public.settings_versions v where v.user_id = v_user_id and v.version = p_version;
  if not found then
    raise sqlstate 'PT404' using message = 'SETTINGS_VERSION_NOT_FOUND';
  end if;
  perform private.overwrite_settings(v_user_id, 'restore', p_device, v_settings);
  return private.settings_json(v_user_id);
end
$$;
grant execute on function public.restore_settings(jsonb, bigint, text) to service_role;
comment on function public.restore_settings(jsonb, bigint, text) is
  'Makes one of the last 20 versions of the caller''s settings the next one. Returns {settings, version, last_synced_at}; raises SETTINGS_VERSION_NOT_FOUND.';

create or replace function public.summarize_features(
  p_from text, p_to text, p_time_zone text, p_by_day boolean, p_name text default null
)
returns jsonb
language plpgsql stable set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user('usage:read');
  v_range record;
begin
  select * into v_range from public.usage_range(p_from, p_to, p_time_zone);
  return (
    with cells as (
      select case when p_by_day then (r.bucket at time zone p_time_zone)::date end as day, r.name,
             sum(r.events)::bigint as events
        from public.feature_rollups r
       where r.user_id = v_user_id and r.bucket >= v_range.range_from and r.bucket < v_range.range_to
         and (p_name is null or r.name = p_name)
       group by 1, 2
    )
    select jsonb_build_object(
      'from', v_range.range_from, 'to', v_range.range_to, 'time_zone', p_time_zone,
      'totals', jsonb_build_object('events', coalesce(sum(c.events), 0)),
      'series', coalesce(
        jsonb_agg(
          case when p_by_day then jsonb_build_object('day', c.day) else '{}' end
            || jsonb_build_object('name', c.name, 'events', c.events)
          order by c.day, c.events desc, c.name
        ), '[]'
      )
    ) from cells c
  );
end
$$;
grant execute on function public.summarize_features(text, text, text, boolean, text) to authenticated;
comment on function public.summarize_features(text, text, text, boolean, text) is
  'Returns how often the caller used each feature in a range, also per day: {from, to, time_zone, totals, series}. Raises RANGE_NOT_VALID.';

reset check_function_bodies;

-- Notes the SHA-256 of the text above.
select private.record_migration('20261127204020', 'ed8985675a88cc58bb4ca80374b57254ce078af27d4f1d78c29836635acdf5c9');
