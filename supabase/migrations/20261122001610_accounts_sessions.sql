-- Accounts, sessions: opened by a log-in, continued by refresh tokens that are used once, ended at any moment.

create or replace function private.session_json(p_session_id uuid)
returns jsonb
language sql stable set search_path = '' set timezone = 'UTC'
as $$
  select jsonb_build_object('session_id', s.id, 'user', private.user_json(u))
    from private.sessions s join public.users u on u.id = s.user_id
   where s.id = p_session_id
$$;
revoke all on function private.session_json(uuid) from public, anon, authenticated, service_role;
comment on function private.session_json(uuid) is 'A session as a log-in answers it: {session_id, user}.';

create or replace function private.open_session(p_user_id uuid, p_session jsonb)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_expires_at timestamptz := now() + make_interval(secs => (p_session ->> 'lifetime_seconds')::integer);
  v_id uuid;
begin
  insert into private.sessions (user_id, expires_at, user_agent, address)
  values (p_user_id, v_expires_at, left(p_session ->> 'user_agent', 300), left(p_session ->> 'address', 100))
  returning id into v_id;
  insert into private.refresh_tokens (token_hash, session_id, expires_at)
  values (decode(p_session ->> 'refresh_hash', 'hex'), v_id, v_expires_at);
  return private.session_json(v_id);
end
$$;
revoke all on function private.open_session(uuid, jsonb) from public, anon, authenticated, service_role;
comment on function private.open_session(uuid, jsonb) is
  'Opens a session {refresh_hash, lifetime_seconds, user_agent, address} with its first refresh token; answers {session_id, user}.';

create or replace function public.refresh_session(p_token_hash text, p_successor_hash text, p_lifetime_seconds integer)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: sessions and their tokens are open to no API role. Answers an outcome instead of raising, as a stolen
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

  if v_token.used_at is null then
    update private.refresh_tokens set used_at = now(), successor_hash = v_successor_hash where token_hash = v_hash;
    insert into private.refresh_tokens (token_hash, session_id, expires_at)
    values (v_successor_hash, v_session.id, v_expires_at);
    update private.sessions set last_used_at = now(), expires_at = v_expires_at where id = v_session.id;
    return jsonb_build_object('outcome', 'refreshed') || private.session_json(v_session.id);
  end if;

  -- Two requests of one client may carry the same token, or an answer may be lost: both get the same successor,
  -- as long as nobody has used that one.
  if v_token.used_at > now() - interval '10 seconds' and v_token.successor_hash = v_successor_hash and exists (
    select from private.refresh_tokens t where t.token_hash = v_token.successor_hash and t.used_at is null
  ) then
    return jsonb_build_object('outcome', 'refreshed') || private.session_json(v_session.id);
  end if;

  delete from private.sessions where id = v_session.id;
  perform private.audit('system:sessions', null, 'refresh_token_reused', 'user:' || v_session.user_id, null, null);
  return jsonb_build_object('outcome', 'reused');
end
$$;
revoke all on function public.refresh_session(text, text, integer) from public, anon, authenticated, service_role;
grant execute on function public.refresh_session(text, text, integer) to service_role;
comment on function public.refresh_session(text, text, integer) is
  'Exchanges a refresh token for its successor (both as SHA-256 in hex). Answers {outcome: refreshed, session_id, user}, unknown, or reused: then the session has been ended.';

create or replace function public.log_out(p_caller jsonb, p_all boolean)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: sessions are open to no API role.
declare
  v_user_id uuid := private.require_user(p_caller);
  v_ended integer := 1;
begin
  if p_all then
    v_ended := private.end_sessions(v_user_id);
  elsif not p_caller ? 'session_id' then
    raise sqlstate 'PT400' using message = 'NO_SESSION';
  else
    delete from private.sessions where id = (p_caller ->> 'session_id')::uuid;
  end if;
  return jsonb_build_object('ended', v_ended);
end
$$;
revoke all on function public.log_out(jsonb, boolean) from public, anon, authenticated, service_role;
grant execute on function public.log_out(jsonb, boolean) to service_role;
comment on function public.log_out(jsonb, boolean) is 'Ends the calling session, or all of the account. Answers {ended}; raises NO_SESSION for an API key.';

create or replace function public.list_sessions(
  p_caller jsonb, p_limit integer, p_before_at text default null, p_before_id uuid default null
)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: sessions are open to no API role.
declare
  v_user_id uuid := private.require_user(p_caller);
begin
  return (
    select coalesce(jsonb_agg(to_jsonb(page) order by page.created_at desc, page.id desc), '[]')
      from (
        select s.id, s.created_at, s.last_used_at, s.expires_at, s.user_agent, s.address,
               s.id is not distinct from (p_caller ->> 'session_id')::uuid as current
          from private.sessions s
         where s.user_id = v_user_id and s.expires_at > now()
           and (p_before_id is null or (s.created_at, s.id) < (p_before_at::timestamptz, p_before_id))
         order by s.created_at desc, s.id desc
         limit p_limit
      ) page
  );
exception
  -- The place to go on from is the caller's word.
  when data_exception then
    raise sqlstate 'PT400' using message = 'VALIDATION_FAILED';
end
$$;
revoke all on function public.list_sessions(jsonb, integer, text, uuid) from public, anon, authenticated, service_role;
grant execute on function public.list_sessions(jsonb, integer, text, uuid) to service_role;
comment on function public.list_sessions(jsonb, integer, text, uuid) is
  'The account''s running sessions, newest first; before (time, id) to page on.';

create or replace function public.end_session(p_caller jsonb, p_session_id uuid)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: sessions are open to no API role.
declare
  v_user_id uuid := private.require_user(p_caller);
begin
  delete from private.sessions where id = p_session_id and user_id = v_user_id;
  if not found then
    raise sqlstate 'PT404' using message = 'SESSION_NOT_FOUND';
  end if;
  return jsonb_build_object('ended', 1);
end
$$;
revoke all on function public.end_session(jsonb, uuid) from public, anon, authenticated, service_role;
grant execute on function public.end_session(jsonb, uuid) to service_role;
comment on function public.end_session(jsonb, uuid) is 'Ends one of the account''s sessions. Answers {ended}; raises SESSION_NOT_FOUND.';
