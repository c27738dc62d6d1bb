-- Only for who has passed the second factor, or has none: whoever signs in comes through open_session.
create or replace function private.begin_session(p_user_id uuid, p_session jsonb)
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
  return jsonb_build_object('outcome', 'opened') || private.session_json(v_id);
end
$$;
comment on function private.begin_session(uuid, jsonb) is
  'Opens a session, for somebody who has shown all there is to show, {refresh_hash, lifetime_seconds, user_agent, address, network, notice} with its first refresh token, and remembers the network, where there is one, as one its owner logs in from; where it is a new one, the sealed notice to them is queued. Returns {outcome: opened, session_id, user}; raises ACCOUNT_SUSPENDED.';
