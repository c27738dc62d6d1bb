create or replace function public.list_running_subscriptions(p_limit integer, p_after text default '')
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: reads every subscription, which no API role may.
begin
  return (
    select coalesce(jsonb_agg(page.id order by page.id), '[]')
      from (
        select s.stripe_subscription_id as id from public.subscriptions s
         where private.is_running(s.status) and s.stripe_subscription_id > p_after
         order by s.stripe_subscription_id
         limit p_limit
      ) page
  );
end
$$;
grant execute on function public.list_running_subscriptions(integer, text) to service_role;
comment on function public.list_running_subscriptions(integer, text) is
  'Returns Stripe''s ids of the subscriptions that run as far as is known here, in order; after an id to page on.';
