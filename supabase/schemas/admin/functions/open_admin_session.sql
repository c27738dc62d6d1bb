create or replace function private.open_admin_session(p_admin_id uuid, p_session jsonb, p_second_factor boolean)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_id uuid;
begin
  insert into private.admin_sessions (admin_id, expires_at, user_agent, address, second_factor)
  values (
    p_admin_id, now() + make_interval(secs => (p_session ->> 'lifetime_seconds')::integer),
    left(p_session ->> 'user_agent', 300), left(p_session ->> 'address', 100), p_second_factor
  )
  returning id into v_id;
  return (
    select jsonb_build_object(
             'id', a.id, 'version', a.version, 'session_id', v_id, 'role', a.role, 'second_factor', p_second_factor
           )
      from private.admins a where a.id = p_admin_id
  );
end
$$;
comment on function private.open_admin_session(uuid, jsonb, boolean) is
  'Opens a session {lifetime_seconds, user_agent, address} of an admin; returns what its token says: {id, version, session_id, role, second_factor}.';
