create or replace function public.get_account(p_actor jsonb, p_user_id uuid)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: reads every account, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  return private.account_json(p_user_id);
end
$$;
grant execute on function public.get_account(jsonb, uuid) to service_role;
comment on function public.get_account(jsonb, uuid) is 'Returns an account for an admin; raises USER_NOT_FOUND.';
