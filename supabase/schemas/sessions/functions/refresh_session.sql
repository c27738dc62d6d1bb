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
