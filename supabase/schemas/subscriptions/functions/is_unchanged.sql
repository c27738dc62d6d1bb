create or replace function private.is_unchanged(p_row public.subscriptions, p_state jsonb)
returns boolean
language sql stable set search_path = ''
as $$
  select (p_row.stripe_subscription_id, p_row.status, p_row.tier, p_row.current_period_start, p_row.current_period_end,
          p_row.cancel_at_period_end)
    is not distinct from
         (p_state ->> 'subscription_id', p_state ->> 'status', coalesce(p_state ->> 'tier', p_row.tier),
          to_timestamp((p_state ->> 'period_start')::bigint), to_timestamp((p_state ->> 'period_end')::bigint),
          (p_state ->> 'cancels')::boolean)
$$;
comment on function private.is_unchanged(public.subscriptions, jsonb) is 'Returns whether a state is the one the row has.';
