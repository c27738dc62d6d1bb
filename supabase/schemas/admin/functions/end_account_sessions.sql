create or replace function public.end_account_sessions(p_actor jsonb, p_user_id uuid, p_api_keys boolean)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes sessions and keys, which no API role may.
begin
  return private.close_account_sessions(private.require_admin_by(p_actor), p_user_id, p_api_keys);
end
$$;
grant execute on function public.end_account_sessions(jsonb, uuid, boolean) to service_role;
comment on function public.end_account_sessions(jsonb, uuid, boolean) is
  'Ends every session of an account and, where wished, every API key. Returns {ended, api_keys}; raises USER_NOT_FOUND.';
