create or replace function public.suspend_account(p_actor jsonb, p_user_id uuid, p_suspended boolean)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes accounts, which no API role may.
begin
  return private.set_suspension(private.require_admin_by(p_actor), p_user_id, p_suspended);
end
$$;
grant execute on function public.suspend_account(jsonb, uuid, boolean) to service_role;
comment on function public.suspend_account(jsonb, uuid, boolean) is
  'Keeps an account, its keys and its devices from everything, from the very next request on, or lets them go on. Returns the account; raises USER_NOT_FOUND.';
