create or replace function public.my_subscription()
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user();
  v_row public.subscriptions;
  v_tier text;
  v_since timestamptz;
begin
  select s.* into v_row from public.subscriptions s where s.user_id = v_user_id;
  v_tier := coalesce(public.effective_tier(v_row), 'free');
  v_since := case when v_tier = 'free' then date_trunc('month', now()) else v_row.current_period_start end;
  return jsonb_build_object(
    'tier', v_tier,
    'status', coalesce(v_row.status, 'none'),
    'subscribed_tier', v_row.tier,
    'current_period_start', v_row.current_period_start,
    'current_period_end', v_row.current_period_end,
    'cancel_at_period_end', coalesce(v_row.cancel_at_period_end, false),
    'grace_ends_at', v_row.grace_ends_at,
    'usage', public.get_plan(v_tier) - 'tier' || jsonb_build_object(
      'since', v_since,
      'tokens_granted', (
        select coalesce(sum(g.granted_tokens - g.taken_tokens), 0) from public.subscription_grants g
         where g.user_id = v_user_id and g.period_start >= v_since
      ),
      'tokens_owed', coalesce(v_row.tokens_owed, 0),
      'tokens_used', public.my_tokens_used(v_since),
      'tokens_left', (
        select coalesce(sum(b.remaining), 0) from public.balances b where b.subject_id = v_user_id
      ),
      'devices', (select count(*) from public.devices d where d.user_id = v_user_id and d.deleted_at is null)
    )
  );
end
$$;
grant execute on function public.my_subscription() to authenticated;
comment on function public.my_subscription() is
  'Returns the caller''s tier in force, subscription and what was used of it since the period, or for free the month, began.';
