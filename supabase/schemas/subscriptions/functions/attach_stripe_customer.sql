create or replace function public.attach_stripe_customer(p_caller jsonb, p_customer_id text, p_replaces text default null)
returns text
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes subscriptions, which no API role may.
declare
  v_user_id uuid := private.lock_user(p_caller);
begin
  insert into public.subscriptions as s (user_id, stripe_customer_id, version) values (v_user_id, p_customer_id, 1)
  on conflict (user_id) do update
    set stripe_customer_id = excluded.stripe_customer_id, version = s.version + 1, updated_at = now()
   where s.stripe_customer_id is not distinct from p_replaces;
  return (select s.stripe_customer_id from public.subscriptions s where s.user_id = v_user_id);
end
$$;
grant execute on function public.attach_stripe_customer(jsonb, text, text) to service_role;
comment on function public.attach_stripe_customer(jsonb, text, text) is
  'Notes who the caller is at Stripe, where they are nobody yet or the one to be replaced. Returns the customer that holds from now on.';
