create or replace function public.delete_account_as(p_actor jsonb, p_user_id uuid)
returns jsonb
language plpgsql volatile security definer set search_path = '' set statement_timeout = '15min'
as $$
-- Definer: removes what no API role may write.
begin
  return private.drop_account(private.require_admin_by(p_actor), p_user_id);
end
$$;
grant execute on function public.delete_account_as(jsonb, uuid) to service_role;
comment on function public.delete_account_as(jsonb, uuid) is
  'Removes an account as its owner could. Returns {deleted}; raises USER_NOT_FOUND, and SUBSCRIPTION_RUNNING while Stripe knows the person.';
