-- Subscriptions, sync: webhooks get lost, so what Stripe has is compared with what is here every now and then.

create table if not exists private.stripe_syncs (
  id boolean primary key default true check (id),
  started_at timestamptz not null
);
alter table private.stripe_syncs enable row level security;
comment on table private.stripe_syncs is 'One row: when a server last began to compare.';
comment on column private.stripe_syncs.id is 'Always true.';
comment on column private.stripe_syncs.started_at is 'When it began.';

create or replace function public.begin_stripe_sync(p_minutes integer)
returns boolean
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes what no API role may.
declare
  v_begun boolean;
begin
  insert into private.stripe_syncs as s (started_at) values (now())
  on conflict (id) do update set started_at = now()
   where s.started_at <= now() - make_interval(mins => p_minutes);
  v_begun := found;
  -- Stripe sends an event again for three days, and by hand for thirty.
  delete from private.stripe_events where v_begun and received_at < now() - interval '90 days';
  return v_begun;
end
$$;
revoke all on function public.begin_stripe_sync(integer) from public, anon, authenticated, service_role;
grant execute on function public.begin_stripe_sync(integer) to service_role;
comment on function public.begin_stripe_sync(integer) is
  'Whether a comparison is due, which is every so many minutes for all servers together; then it counts as begun. Forgets old events.';

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
revoke all on function public.list_running_subscriptions(integer, text) from public, anon, authenticated, service_role;
grant execute on function public.list_running_subscriptions(integer, text) to service_role;
comment on function public.list_running_subscriptions(integer, text) is
  'Stripe''s ids of the subscriptions that run as far as is known here, in order; after an id to page on.';
