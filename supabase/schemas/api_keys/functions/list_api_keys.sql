create or replace function public.list_api_keys(p_caller jsonb)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: no API role may read private.api_keys.
declare
  v_user_id uuid := private.require_user(p_caller);
begin
  return private.api_keys_json(v_user_id);
end
$$;
grant execute on function public.list_api_keys(jsonb) to service_role;
comment on function public.list_api_keys(jsonb) is 'Returns the account''s keys, newest first; at most 50, so that one answer holds them all.';
