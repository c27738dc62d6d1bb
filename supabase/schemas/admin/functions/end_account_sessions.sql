create or replace function public.end_account_sessions(p_actor jsonb, p_user_id uuid, p_api_keys boolean)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes sessions and keys, which no API role may.
declare
  v_target text;
  v_ended jsonb;
  v_keys integer := 0;
begin
  perform private.require_admin(p_actor);
  v_target := private.require_account(p_user_id);
  if p_api_keys then
    delete from private.api_keys where user_id = p_user_id;
    get diagnostics v_keys = row_count;
  end if;
  v_ended := jsonb_build_object('ended', private.end_sessions(p_user_id), 'api_keys', v_keys);
  perform private.audit_admin(p_actor, 'end_user_sessions', v_target, null, v_ended);
  return v_ended;
end
$$;
grant execute on function public.end_account_sessions(jsonb, uuid, boolean) to service_role;
comment on function public.end_account_sessions(jsonb, uuid, boolean) is
  'Ends every session of an account and, where wished, every API key. Returns {ended, api_keys}; raises USER_NOT_FOUND.';
