create or replace function public.effective_tier(p_subscription public.subscriptions)
returns text
language sql stable security invoker set search_path = ''
as $$
  select case
    when p_subscription.user_id is null then null
    when p_subscription.status in ('trialing', 'active') then p_subscription.tier
    when p_subscription.status = 'past_due' and now() < p_subscription.grace_ends_at then p_subscription.tier
    else 'free'
  end
$$;
grant execute on function public.effective_tier(public.subscriptions) to authenticated;
comment on function public.effective_tier(public.subscriptions) is
  'Returns the tier whose limits hold now: the subscribed one while it is paid or in its days of grace, free otherwise; null for no row.';
