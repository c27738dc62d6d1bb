create or replace function public.end_session(p_caller jsonb, p_session_id uuid)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: no API role may read sessions.
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
grant execute on function public.end_session(jsonb, uuid) to service_role;
comment on function public.end_session(jsonb, uuid) is 'Ends one of the account''s sessions. Returns {ended}; raises SESSION_NOT_FOUND.';
