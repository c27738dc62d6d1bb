create or replace function private.set_suspension(p_by jsonb, p_user_id uuid, p_suspended boolean)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_target text;
begin
  v_target := private.require_account(p_user_id);
  update public.users set suspended_at = case when p_suspended then coalesce(suspended_at, now()) end
   where id = p_user_id;
  perform private.audit_by(p_by, case when p_suspended then 'suspend_user' else 'unsuspend_user' end, v_target);
  return private.account_json(p_user_id);
end
$$;
comment on function private.set_suspension(jsonb, uuid, boolean) is
  'Keeps an account, its keys and its devices from everything, or lets them go on, in the name of {name, …}. Returns the account; raises USER_NOT_FOUND.';
