create or replace function public.apply_subscription(p_state jsonb, p_event jsonb default null, p_version bigint default null)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes subscriptions and events, which no API role may.
declare
  v_user_id uuid := private.lock_customer(p_state ->> 'customer_id', (p_state ->> 'user_id')::uuid);
  v_at timestamptz := to_timestamp((p_event ->> 'created')::bigint);
  v_row public.subscriptions;
  v_verdict text;
begin
  if v_user_id is null then
    return jsonb_build_object('outcome', 'unknown_customer');
  elsif exists (select from private.stripe_events e where e.id = p_event ->> 'id') then
    return jsonb_build_object('outcome', 'duplicate');
  end if;
  select s.* into strict v_row from public.subscriptions s where s.user_id = v_user_id;
  v_verdict := private.compare_state(v_row, p_state, v_at, p_version);
  if v_verdict = 'refetch' then
    return jsonb_build_object('outcome', 'refetch', 'version', v_row.version);
  elsif not private.record_stripe_event(p_event) then
    return jsonb_build_object('outcome', 'duplicate');
  elsif v_verdict = 'keep' then
    return jsonb_build_object('outcome', 'kept');
  end if;

  -- Five minutes are more than a fetch takes and clocks differ: events from before them are in what was fetched.
  v_at := case when v_at <= now() then v_at else now() - interval '5 minutes' end;
  update public.subscriptions s
     set stripe_subscription_id = p_state ->> 'subscription_id',
         tier = coalesce(p_state ->> 'tier', s.tier),
         status = p_state ->> 'status',
         current_period_start = to_timestamp((p_state ->> 'period_start')::bigint),
         current_period_end = to_timestamp((p_state ->> 'period_end')::bigint),
         cancel_at_period_end = (p_state ->> 'cancels')::boolean,
         grace_ends_at = case
           when p_state ->> 'status' <> 'past_due' then null
           when s.status = 'past_due' and s.stripe_subscription_id = p_state ->> 'subscription_id' then s.grace_ends_at
           else greatest(v_at, case when s.state_at <= now() then s.state_at end) + make_interval(days => (p_state ->> 'grace_days')::integer)
         end,
         started_at = to_timestamp((p_state ->> 'created')::bigint),
         state_at = greatest(v_at, case when s.state_at <= now() then s.state_at end),
         version = s.version + 1,
         updated_at = now()
   where s.user_id = v_user_id;
  return jsonb_build_object('outcome', 'applied');
end
$$;
grant execute on function public.apply_subscription(jsonb, jsonb, bigint) to service_role;
comment on function public.apply_subscription(jsonb, jsonb, bigint) is
  'Applies a state {subscription_id, customer_id, user_id, status, tier, period_start, period_end, cancels, created, grace_days} (times in epoch seconds) where it is newer: the event''s {id, type, created}, or fetched when the row had p_version. Returns {outcome}: applied, kept, duplicate, unknown_customer, or refetch with the version to fetch for; a state without status asks for that.';
