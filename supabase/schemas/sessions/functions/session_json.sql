create or replace function private.session_json(p_session_id uuid)
returns jsonb
language sql stable set search_path = '' set timezone = 'UTC'
as $$
  select jsonb_build_object('session_id', s.id, 'user', private.user_json(u))
    from private.sessions s join public.users u on u.id = s.user_id
   where s.id = p_session_id
$$;
comment on function private.session_json(uuid) is 'Returns a session as a log-in returns it: {session_id, user}.';
