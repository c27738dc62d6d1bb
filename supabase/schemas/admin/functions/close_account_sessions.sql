create or replace function private.close_account_sessions(p_by jsonb, p_user_id uuid, p_api_keys boolean)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_target text;
  v_ended jsonb;
  v_keys integer := 0;
begin
  v_target := private.require_account(p_user_id);
  if p_api_keys then
    delete from private.api_keys where user_id = p_user_id;
    get diagnostics v_keys = row_count;
  end if;
  v_ended := jsonb_build_object('ended', private.end_sessions(p_user_id), 'api_keys', v_keys);
  perform private.audit_by(p_by, 'end_user_sessions', v_target, null, v_ended);
  return v_ended;
end
$$;
comment on function private.close_account_sessions(jsonb, uuid, boolean) is
  'Ends every session of an account and, where wished, every API key, in the name of {name, …}. Returns {ended, api_keys}; raises USER_NOT_FOUND.';
