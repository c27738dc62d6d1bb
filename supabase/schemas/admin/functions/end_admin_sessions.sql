create or replace function public.end_admin_sessions(p_actor jsonb, p_session_id uuid default null)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: no API role may write sessions.
declare
  v_actor text := private.require_admin(p_actor, null);
  v_ended integer;
begin
  delete from private.admin_sessions s
   where s.admin_id = (p_actor ->> 'id')::uuid and (p_session_id is null or s.id = p_session_id);
  get diagnostics v_ended = row_count;
  if v_ended = 0 then
    raise sqlstate 'PT404' using message = 'SESSION_NOT_FOUND';
  end if;
  perform private.audit_admin(p_actor, 'end_sessions', v_actor, null, jsonb_build_object('ended', v_ended));
  return jsonb_build_object('ended', v_ended);
end
$$;
grant execute on function public.end_admin_sessions(jsonb, uuid) to service_role;
comment on function public.end_admin_sessions(jsonb, uuid) is
  'Ends one of the calling admin''s sessions, or all of them. Returns {ended}; raises SESSION_NOT_FOUND.';
