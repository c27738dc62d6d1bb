create or replace function private.prorated_months(p_subscription_id text, p_start timestamptz, p_end timestamptz)
returns numeric
language sql stable set search_path = ''
as $$
  select least(1, extract(epoch from p_end - p_start) / nullif(extract(epoch from p_end - whole.start), 0))
           * private.period_months(whole.start, p_end)
    from (
      select coalesce(
        (
          select g.period_start from public.subscription_grants g
           where g.stripe_subscription_id = p_subscription_id and g.period_end = p_end and g.renewal
        ),
        (
          select s.current_period_start from public.subscriptions s
           where s.stripe_subscription_id = p_subscription_id and s.current_period_end = p_end
        ),
        (p_end at time zone 'UTC' - interval '1 month') at time zone 'UTC'
      ) as start
    ) whole
$$;
comment on function private.prorated_months(text, timestamptz, timestamptz) is
  'Returns how many months'' tokens the rest of a billing period from a time on is worth; a period that is not known is a month.';
