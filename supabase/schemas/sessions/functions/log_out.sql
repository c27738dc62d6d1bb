create or replace function public.log_out(p_caller jsonb, p_all boolean)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: no API role may read sessions.
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
grant execute on function public.log_out(jsonb, boolean) to service_role;
comment on function public.log_out(jsonb, boolean) is 'Ends the calling session, or all of the account. Returns {ended}; raises NO_SESSION for an API key.';
