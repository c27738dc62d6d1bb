create or replace function public.log_out(p_caller jsonb default null, p_all boolean default false, p_token_hash text default null)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: no API role may read sessions and their tokens.
declare
  v_session private.sessions;
  v_user_id uuid;
  v_session_id uuid;
  v_ended integer;
begin
  -- A refresh token that was exchanged ends its session as well: sent to be exchanged again, it would.
  select s.* into v_session
    from private.refresh_tokens t join private.sessions s on s.id = t.session_id
   where t.token_hash = decode(p_token_hash, 'hex');
  -- A bearer whose session is over keeps nobody from ending the other one.
  if p_caller is not null and (v_session.id is null or private.credential_problem(
       (p_caller ->> 'id')::uuid, (p_caller ->> 'session_id')::uuid, (p_caller ->> 'api_key_id')::uuid, 'account'
     ) is null) then
    v_user_id := private.require_user(p_caller);
    v_session_id := (p_caller ->> 'session_id')::uuid;
  end if;

  if p_all then
    select coalesce(sum(private.end_sessions(a.user_id)), 0) into v_ended
      from (select distinct u.id from unnest(array[v_user_id, v_session.user_id]) as u (id) where u.id is not null) as a (user_id);
  elsif v_user_id is not null and v_session_id is null and v_session.id is null then
    raise sqlstate 'PT400' using message = 'NO_SESSION';
  else
    delete from private.sessions s where s.id in (v_session_id, v_session.id);
    get diagnostics v_ended = row_count;
  end if;
  return jsonb_build_object('ended', v_ended);
end
$$;
grant execute on function public.log_out(jsonb, boolean, text) to service_role;
comment on function public.log_out(jsonb, boolean, text) is
  'Ends the session of the caller and that of a refresh token (as SHA-256 in hex), of which one may be null, or all sessions of their accounts. Returns {ended}; raises NO_SESSION for an API key alone.';
