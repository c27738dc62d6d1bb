-- Webhooks get lost, so what Stripe has is compared with what is here every now and then.
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
grant execute on function public.begin_stripe_sync(integer) to service_role;
comment on function public.begin_stripe_sync(integer) is
  'Returns whether a comparison is due, which is every so many minutes for all servers together; then it counts as begun. Forgets old events.';
