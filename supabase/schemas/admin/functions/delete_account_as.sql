create or replace function public.delete_account_as(p_actor jsonb, p_user_id uuid)
returns jsonb
language plpgsql volatile security definer set search_path = '' set statement_timeout = '15min'
as $$
-- Definer: removes what no API role may write.
declare
  v_target text;
  v_deleted jsonb;
begin
  perform private.require_admin(p_actor);
  v_target := private.require_account(p_user_id);
  update public.users set suspended_at = null where id = p_user_id;
  v_deleted := public.delete_account(jsonb_build_object('id', p_user_id));
  perform private.audit_admin(p_actor, 'delete_user', v_target);
  return v_deleted;
end
$$;
grant execute on function public.delete_account_as(jsonb, uuid) to service_role;
comment on function public.delete_account_as(jsonb, uuid) is
  'Runs delete_account for an admin. Returns {deleted}; raises USER_NOT_FOUND, and SUBSCRIPTION_RUNNING while Stripe knows the person.';
