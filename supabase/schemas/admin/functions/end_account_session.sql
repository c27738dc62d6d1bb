create or replace function public.end_account_session(p_actor jsonb, p_user_id uuid, p_session_id uuid)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes sessions, which no API role may.
declare
  v_target text;
begin
  perform private.require_admin(p_actor);
  v_target := private.require_account(p_user_id);
  delete from private.sessions s where s.id = p_session_id and s.user_id = p_user_id;
  if not found then
    raise sqlstate 'PT404' using message = 'SESSION_NOT_FOUND';
  end if;
  perform private.audit_admin(p_actor, 'end_user_session', v_target, jsonb_build_object('session_id', p_session_id));
  return jsonb_build_object('ended', 1);
end
$$;
grant execute on function public.end_account_session(jsonb, uuid, uuid) to service_role;
comment on function public.end_account_session(jsonb, uuid, uuid) is
  'Ends one session of an account. Returns {ended}; raises USER_NOT_FOUND, SESSION_NOT_FOUND.';
