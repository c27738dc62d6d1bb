create or replace function public.effective_tier(p_subscription public.subscriptions)
returns text
language sql stable security invoker set search_path = ''
as $$
  select case
    when p_subscription.user_id is null then null
    when not (
      p_subscription.status in ('trialing', 'active')
      or (p_subscription.status = 'past_due' and coalesce(now() < p_subscription.grace_ends_at, false))
    ) then 'free'
    when now() < p_subscription.returned_until
      and (p_subscription.returned_tier = 'free' or p_subscription.tier = 'premium') then p_subscription.returned_tier
    else p_subscription.tier
  end
$$;
grant execute on function public.effective_tier(public.subscriptions) to authenticated;
comment on function public.effective_tier(public.subscriptions) is
  'Returns the tier whose limits hold now: the subscribed one while it is paid or in its days of grace, no higher than what is left of it where money went back, free otherwise; null for no row.';
