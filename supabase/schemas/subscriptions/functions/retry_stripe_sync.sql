create or replace function public.retry_stripe_sync(p_minutes integer)
returns boolean
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes what no API role may.
begin
  update private.stripe_syncs set started_at = now() - make_interval(mins => p_minutes) where started_at is not null;
  return found;
end
$$;
grant execute on function public.retry_stripe_sync(integer) to service_role;
comment on function public.retry_stripe_sync(integer) is
  'Counts a comparison that failed as begun so many minutes ago, so that the next one is due sooner.';
