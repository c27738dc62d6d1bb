create or replace function public.set_account_plan(p_actor jsonb, p_user_id uuid, p_tier text)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes subscriptions, which no API role may.
begin
  return private.give_tier(private.require_admin_by(p_actor), p_user_id, p_tier);
end
$$;
grant execute on function public.set_account_plan(jsonb, uuid, text) to service_role;
comment on function public.set_account_plan(jsonb, uuid, text) is
  'Gives an account a tier without payment, or takes it back with free. Returns the account; raises USER_NOT_FOUND, and SUBSCRIPTION_RUNNING for one that subscribed at Stripe.';
