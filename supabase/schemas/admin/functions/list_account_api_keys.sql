create or replace function public.list_account_api_keys(p_actor jsonb, p_user_id uuid)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: reads keys, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  perform private.account_json(p_user_id);
  return private.api_keys_json(p_user_id);
end
$$;
grant execute on function public.list_account_api_keys(jsonb, uuid) to service_role;
comment on function public.list_account_api_keys(jsonb, uuid) is
  'Returns the API keys of an account without their secrets, newest first; raises USER_NOT_FOUND.';
