-- Subscriptions, state: what Stripe says of a subscription, applied in the order in which it became so.

-- Statuses in which Stripe goes on with a subscription, paid or not.
create or replace function private.is_running(p_status text)
returns boolean
language sql immutable set search_path = ''
as $$ select p_status in ('trialing', 'active', 'past_due', 'unpaid', 'paused') $$;
revoke all on function private.is_running(text) from public, anon, authenticated, service_role;
comment on function private.is_running(text) is 'Whether a subscription of this status may still be billed.';

create or replace function public.tier_in_force(p_subscription public.subscriptions)
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
revoke all on function public.tier_in_force(public.subscriptions) from public, anon, authenticated, service_role;
grant execute on function public.tier_in_force(public.subscriptions) to authenticated;
comment on function public.tier_in_force(public.subscriptions) is
  'The tier whose limits hold now: the subscribed one while it is paid or in its days of grace, free otherwise; null for no row.';

-- Events of one person wait for each other here, and for a deletion. Nobody's customer is answered with null.
create or replace function private.lock_customer(p_customer_id text, p_user_id uuid)
returns uuid
language plpgsql volatile set search_path = ''
as $$
declare
  v_user_id uuid;
begin
  select s.user_id into v_user_id from public.subscriptions s where s.stripe_customer_id = p_customer_id;
  if v_user_id is null or v_user_id <> p_user_id then
    return null;
  end if;
  perform from public.users u where u.id = v_user_id for no key update;
  -- The account may have been deleted, or its customer replaced, while this waited.
  return (
    select s.user_id from public.subscriptions s where s.user_id = v_user_id and s.stripe_customer_id = p_customer_id
  );
end
$$;
revoke all on function private.lock_customer(text, uuid) from public, anon, authenticated, service_role;
comment on function private.lock_customer(text, uuid) is
  'The account of a Stripe customer, locked until the transaction ends; null for an unknown customer, or one of another user than the given.';

-- A second delivery that arrives meanwhile waits here until the first commits or fails.
create or replace function private.take_stripe_event(p_event jsonb)
returns boolean
language plpgsql volatile set search_path = ''
as $$
begin
  if p_event is null then
    return true;
  end if;
  insert into private.stripe_events (id, type, created_at)
  values (p_event ->> 'id', p_event ->> 'type', to_timestamp((p_event ->> 'created')::bigint))
  on conflict (id) do nothing;
  return found;
end
$$;
revoke all on function private.take_stripe_event(jsonb) from public, anon, authenticated, service_role;
comment on function private.take_stripe_event(jsonb) is
  'Notes an event {id, type, created}; false where its effect has committed before. True where there is none to note.';

create or replace function private.says_the_same(p_row public.subscriptions, p_state jsonb)
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
revoke all on function private.says_the_same(public.subscriptions, jsonb) from public, anon, authenticated, service_role;
comment on function private.says_the_same(public.subscriptions, jsonb) is 'Whether a state is the one the row has.';

-- Whether a state is newer than the row's. An event is, by its time; a fetched state is where nothing was applied since
-- before it was fetched. What cannot be told is fetched (again).
create or replace function private.judge_state(p_row public.subscriptions, p_state jsonb, p_at timestamptz, p_version bigint)
returns text
language sql stable set search_path = ''
as $$
  select case
    when not p_state ? 'status' then 'refetch'
    when p_version <> p_row.version then 'refetch'
    -- Of two subscriptions of one person the row is about the one that runs, or else the one made last. When the other
    -- one's state was from is not kept, so the row changes over only to what was fetched.
    when p_row.stripe_subscription_id <> p_state ->> 'subscription_id' then case
      when p_state ->> 'tier' is not null
        and (private.is_running(p_state ->> 'status'), to_timestamp((p_state ->> 'created')::bigint), p_state ->> 'subscription_id')
          > (private.is_running(p_row.status), p_row.started_at, p_row.stripe_subscription_id)
        then case when p_version is null then 'refetch' else 'apply' end
      else 'keep'
    end
    when p_row.stripe_subscription_id is null and p_state ->> 'tier' is null then 'keep'
    when private.says_the_same(p_row, p_state) then case when p_at > p_row.state_at then 'apply' else 'keep' end
    when p_version is not null or p_row.stripe_subscription_id is null or p_at > p_row.state_at then 'apply'
    when p_at < p_row.state_at then 'keep'
    else 'refetch'
  end
$$;
revoke all on function private.judge_state(public.subscriptions, jsonb, timestamptz, bigint) from public, anon, authenticated, service_role;
comment on function private.judge_state(public.subscriptions, jsonb, timestamptz, bigint) is
  'What to do with a state of this time, or fetched when the row had this version: apply, keep (the row as it is) or refetch.';

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
  v_verdict := private.judge_state(v_row, p_state, v_at, p_version);
  if v_verdict = 'refetch' then
    return jsonb_build_object('outcome', 'refetch', 'version', v_row.version);
  elsif not private.take_stripe_event(p_event) then
    return jsonb_build_object('outcome', 'duplicate');
  elsif v_verdict = 'keep' then
    return jsonb_build_object('outcome', 'kept');
  end if;

  -- Five minutes are more than a fetch takes and clocks differ: events from before them are in what was fetched.
  v_at := coalesce(v_at, now() - interval '5 minutes');
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
           else greatest(v_at, s.state_at) + make_interval(days => (p_state ->> 'grace_days')::integer)
         end,
         started_at = to_timestamp((p_state ->> 'created')::bigint),
         state_at = greatest(v_at, s.state_at),
         version = s.version + 1,
         updated_at = now()
   where s.user_id = v_user_id;
  return jsonb_build_object('outcome', 'applied');
end
$$;
revoke all on function public.apply_subscription(jsonb, jsonb, bigint) from public, anon, authenticated, service_role;
grant execute on function public.apply_subscription(jsonb, jsonb, bigint) to service_role;
comment on function public.apply_subscription(jsonb, jsonb, bigint) is
  'Applies a state {subscription_id, customer_id, user_id, status, tier, period_start, period_end, cancels, created, grace_days} (times in epoch seconds) where it is newer: the event''s {id, type, created}, or fetched when the row had p_version. Answers {outcome}: applied, kept, duplicate, unknown_customer, or refetch with the version to fetch for; a state without status asks for that.';
