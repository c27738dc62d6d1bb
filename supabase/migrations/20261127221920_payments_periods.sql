-- Years and quantities are worth their months; an event from the future keeps no later one out; a comparison that failed is
-- due again soon.

set check_function_bodies = off;

drop function if exists private.period_share(p_subscription_id text, p_start timestamp with time zone, p_end timestamp with time zone);

-- An event's state is newer than the row's by its time; a fetched one where nothing was applied since before it was
-- fetched. Where it cannot be decided, the state is fetched (again).
create or replace function private.compare_state(p_row public.subscriptions, p_state jsonb, p_at timestamptz, p_version bigint)
returns text
language sql stable set search_path = ''
as $$
  select case
    when not p_state ? 'status' then 'refetch'
    when p_version <> p_row.version then 'refetch'
    -- The time of an event from the future says nothing, and must not keep those after it out.
    when p_version is null and (p_at > now() or p_row.state_at > now()) then 'refetch'
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
    when private.is_unchanged(p_row, p_state) then case when p_at > p_row.state_at then 'apply' else 'keep' end
    when p_version is not null or p_row.stripe_subscription_id is null or p_at > p_row.state_at then 'apply'
    when p_at < p_row.state_at then 'keep'
    else 'refetch'
  end
$$;
comment on function private.compare_state(public.subscriptions, jsonb, timestamptz, bigint) is
  'Returns what to do with a state of this time, or fetched when the row had this version: apply, keep (the row as it is) or refetch.';

-- Stripe's months have 28 to 31 days and its years 365 or 366; what is shorter than a month counts as its part of one.
create or replace function private.period_months(p_start timestamptz, p_end timestamptz)
returns numeric
language sql immutable set search_path = ''
as $$
  select case when days.count >= 27 then round(days.count / 30.436875) else greatest(days.count / 30.436875, 0) end
    from (select extract(epoch from p_end - p_start) / 86400 as count) days
$$;
comment on function private.period_months(timestamptz, timestamptz) is
  'Returns how many months'' tokens a billing period is worth: 1 for a month, 12 for a year.';

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

-- Tokens follow money: a paid period adds its tier's tokens once; after a change of tier the rest of a period adds and takes
-- off its share, as Stripe charges and credits it.
create or replace function public.apply_invoice(p_invoice jsonb, p_event jsonb default null)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes grants, balances, the pool and the ledger, which no API role may.
declare
  v_user_id uuid := private.lock_customer(p_invoice ->> 'customer_id', null);
  v_subscription_id text := p_invoice ->> 'subscription_id';
  v_invoice_id text := p_invoice ->> 'invoice_id';
  v_main record;
  v_owed bigint;
  v_due bigint;
  v_granted bigint;
begin
  if v_user_id is null then
    return jsonb_build_object('outcome', 'unknown_customer');
  elsif not private.record_stripe_event(p_event) then
    return jsonb_build_object('outcome', 'duplicate');
  elsif exists (select from public.subscription_grants g where g.stripe_invoice_id = v_invoice_id) then
    return jsonb_build_object('outcome', 'kept');
  end if;

  -- The line that names the invoice's period, and what all lines come to.
  select worth.*, worth.months > 0 and not worth.proration and worth.sign > 0 as renewal,
         -- What no balance can hold is cut off.
         greatest(least(sum(round(worth.sign * worth.quantity * worth.months * worth.monthly_tokens)) over (), 9007199254740991), -9007199254740991)::bigint as net
    into v_main
    from (
      select line.tier, line.sign, line.proration, coalesce(line.quantity, 1) as quantity, plan.monthly_tokens, period.starts,
             period.ends,
             case
               when line.proration then private.prorated_months(v_subscription_id, period.starts, period.ends)
               when exists (
                 select from public.subscription_grants g
                  where g.stripe_subscription_id = v_subscription_id and g.period_start = period.starts and g.renewal
               ) then 0
               else private.period_months(period.starts, period.ends)
             end as months
        from jsonb_to_recordset(p_invoice -> 'lines')
               as line(tier text, sign integer, proration boolean, quantity bigint, period_start bigint, period_end bigint)
        join public.plans plan using (tier)
        cross join lateral (
          select to_timestamp(line.period_start) as starts, to_timestamp(line.period_end) as ends
        ) period
    ) worth
   order by worth.proration, worth.sign desc, worth.ends desc
   limit 1;
  -- A period is noted also where its tier adds nothing, so that it does not when the plan is edited later.
  if v_main.tier is null or (v_main.net = 0 and not v_main.renewal) then
    return jsonb_build_object('outcome', 'kept');
  end if;

  -- What earlier invoices credited beyond what they charged is still to be made up for. Stripe's credit is the customer's,
  -- not a subscription's, and so is this.
  select s.tokens_owed into strict v_owed from public.subscriptions s where s.user_id = v_user_id;
  v_due := greatest(v_main.net - v_owed, 0);
  v_granted := private.grant_subscription(
    v_user_id, v_due,
    case when v_main.renewal then v_subscription_id || to_char(v_main.starts at time zone 'UTC', ' YYYY-MM-DD"T"HH24:MI:SS"Z"') else v_invoice_id end
  );
  insert into public.subscription_grants (
    user_id, stripe_invoice_id, stripe_subscription_id, tier, renewal, period_start, period_end, net_tokens, granted_tokens,
    short_tokens
  )
  values (
    v_user_id, v_invoice_id, v_subscription_id, v_main.tier, v_main.renewal, v_main.starts, v_main.ends, v_main.net, v_granted,
    v_due - v_granted
  );
  update public.subscriptions s set tokens_owed = greatest(v_owed - v_main.net, 0) where s.user_id = v_user_id;
  -- Its money may have gone back before this was heard of.
  perform private.settle_return(v_user_id, v_invoice_id);
  return jsonb_build_object('outcome', 'applied', 'granted', v_granted);
end
$$;
grant execute on function public.apply_invoice(jsonb, jsonb) to service_role;
comment on function public.apply_invoice(jsonb, jsonb) is
  'Grants what a paid invoice {invoice_id, customer_id, subscription_id, lines: [{tier, sign, proration, quantity, period_start, period_end}]} is worth, a year twelve months'' tokens: sign is 1 for a charge, -1 for a credit, 0 for what is free; times in epoch seconds. Returns {outcome}: applied with the granted tokens, kept, duplicate or unknown_customer.';

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

create or replace function public.retry_stripe_sync(p_minutes integer)
returns boolean
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes what no API role may.
begin
  update private.stripe_syncs set started_at = now() - make_interval(mins => p_minutes);
  return found;
end
$$;
grant execute on function public.retry_stripe_sync(integer) to service_role;
comment on function public.retry_stripe_sync(integer) is
  'Counts a comparison that failed as begun so many minutes ago, so that the next one is due sooner.';

reset check_function_bodies;

-- Notes the SHA-256 of the text above.
select private.record_migration('20261127221920', '5d1b6dfb78f4f3a25bd751fc8389fa51eadb5c49bfb71affd9e04699996b007e');
