create or replace function public.suspend_account(p_actor jsonb, p_user_id uuid, p_suspended boolean)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes accounts, which no API role may.
declare
  v_target text;
begin
  perform private.require_admin(p_actor);
  v_target := private.require_account(p_user_id);
  update public.users set suspended_at = case when p_suspended then coalesce(suspended_at, now()) end
   where id = p_user_id;
  perform private.audit_admin(p_actor, case when p_suspended then 'suspend_user' else 'unsuspend_user' end, v_target);
  return private.account_json(p_user_id);
end
$$;
grant execute on function public.suspend_account(jsonb, uuid, boolean) to service_role;
comment on function public.suspend_account(jsonb, uuid, boolean) is
  'Keeps an account, its keys and its devices from everything, from the very next request on, or lets them go on. Returns the account; raises USER_NOT_FOUND.';
