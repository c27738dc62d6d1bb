create or replace function public.get_stripe_account(p_caller jsonb)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: reads the address and the subscription of whoever the server names.
declare
  v_user_id uuid := private.require_user(p_caller);
begin
  return (
    select jsonb_build_object(
             'user_id', u.id, 'email', u.email, 'customer_id', s.stripe_customer_id,
             'subscription_id', case when private.is_running(s.status) then s.stripe_subscription_id end,
             'version', coalesce(s.version, 0)
           )
      from public.users u left join public.subscriptions s on s.user_id = u.id
     where u.id = v_user_id
  );
end
$$;
grant execute on function public.get_stripe_account(jsonb) to service_role;
comment on function public.get_stripe_account(jsonb) is
  'Returns who the caller is at Stripe: {user_id, email, customer_id, subscription_id, version}; subscription_id is null where none runs.';
