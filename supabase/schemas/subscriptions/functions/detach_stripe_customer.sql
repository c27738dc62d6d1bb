create or replace function public.detach_stripe_customer(p_caller jsonb, p_customer_id text)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes subscriptions, which no API role may.
declare
  v_user_id uuid := private.lock_user(p_caller);
begin
  update public.subscriptions s
     set stripe_customer_id = null, stripe_subscription_id = null, tier = null, status = 'none',
         current_period_start = null, current_period_end = null, cancel_at_period_end = false, grace_ends_at = null,
         started_at = null, state_at = null, version = s.version + 1, updated_at = now()
   where s.user_id = v_user_id and s.stripe_customer_id = p_customer_id;
  return jsonb_build_object('detached', found);
end
$$;
grant execute on function public.detach_stripe_customer(jsonb, text) to service_role;
comment on function public.detach_stripe_customer(jsonb, text) is
  'Forgets a customer that was deleted at Stripe, and the subscription that ended with it. Returns {detached}.';
