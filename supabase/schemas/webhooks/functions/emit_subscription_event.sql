create or replace function private.emit_subscription_event()
returns trigger
language plpgsql set search_path = '' set timezone = 'UTC'
as $$
begin
  perform private.emit_event('subscription.changed', jsonb_build_object(
    'user_id', new.user_id, 'tier', public.effective_tier(new), 'subscribed_tier', new.tier, 'status', new.status,
    'current_period_end', new.current_period_end, 'cancel_at_period_end', new.cancel_at_period_end,
    'previous', case when tg_op = 'UPDATE' then jsonb_build_object(
      'subscribed_tier', old.tier, 'status', old.status, 'current_period_end', old.current_period_end,
      'cancel_at_period_end', old.cancel_at_period_end
    ) end
  ));
  return null;
end
$$;
comment on function private.emit_subscription_event() is 'Trigger: tells that a subscription began, changed or ended.';
