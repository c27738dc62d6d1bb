-- Tokens follow money back, what is owed is the customer's, and the proof of both is in the rows.

alter table public.subscriptions
  add column if not exists tokens_owed bigint not null default 0 check (tokens_owed >= 0),
  add column if not exists returned_tier text references public.plans (tier),
  add column if not exists returned_until timestamptz;
create index if not exists subscriptions_returned_tier_idx on public.subscriptions (returned_tier);
alter table public.subscription_grants
  add column if not exists short_tokens bigint not null default 0 check (short_tokens >= 0),
  add column if not exists returned_tokens bigint not null default 0 check (returned_tokens >= 0),
  add column if not exists taken_tokens bigint not null default 0,
  add column if not exists forgiven_tokens bigint not null default 0 check (forgiven_tokens >= 0);
comment on column public.subscriptions.tokens_owed is 'Tokens granted beyond what the money kept is worth; the next paid invoices make up for them, of whichever subscription.';
comment on column public.subscriptions.returned_tier is 'The highest tier in force while money of the present period has gone back; null otherwise.';
comment on column public.subscriptions.returned_until is 'Until when that holds: the end of the period.';
comment on table public.subscription_grants is 'One row a paid invoice: each is counted once, and each period once. What changes is only what of its money has gone back.';
comment on column public.subscription_grants.short_tokens is 'Tokens it should have added and the balance could not hold.';
comment on column public.subscription_grants.returned_tokens is 'Of net_tokens those whose money has gone back: refunded, credited or disputed.';
comment on column public.subscription_grants.taken_tokens is 'Tokens taken from the balance for it; negative where more came back after later invoices had made up for what was spent.';
comment on column public.subscription_grants.forgiven_tokens is 'Tokens of returned money that were spent, and are not made up for.';
create table if not exists private.stripe_returns (
  stripe_invoice_id text primary key check (length(stripe_invoice_id) between 1 and 255),
  user_id uuid not null references public.users (id) on delete cascade,
  returned bigint not null check (returned >= 0),
  total bigint not null,
  forgives boolean not null,
  version bigint not null default 1,
  updated_at timestamptz not null default now()
);
create index if not exists stripe_returns_user_idx on private.stripe_returns (user_id);
comment on table private.stripe_returns is 'What of an invoice''s money has gone back, as Stripe last told; also before the invoice itself is known here.';
comment on column private.stripe_returns.stripe_invoice_id is 'The invoice.';
comment on column private.stripe_returns.user_id is 'Who paid it.';
comment on column private.stripe_returns.returned is 'Money refunded, credited or disputed, in the smallest unit of the currency.';
comment on column private.stripe_returns.total is 'Money the invoice was about, likewise; what paid for it may have been credit.';
comment on column private.stripe_returns.forgives is 'Whether what was spent of it is written down instead of owed.';
comment on column private.stripe_returns.version is 'Counts the changes, so that what was fetched before one is not applied after it.';
comment on column private.stripe_returns.updated_at is 'When it last changed.';

alter table private.stripe_returns enable row level security;
-- What each person was granted beyond what they paid for is owed from now on, whichever subscription it was of; what was
-- granted too little is what a balance could not hold. Nothing is left to do when this runs again.
with differences as (
  select s.user_id,
         sum(g.granted_tokens + g.short_tokens - g.taken_tokens - g.net_tokens + g.returned_tokens - g.forgiven_tokens)::bigint
           - s.tokens_owed as tokens
    from public.subscriptions s join public.subscription_grants g using (user_id)
   group by s.user_id, s.tokens_owed
), owed as (
  update public.subscriptions s set tokens_owed = s.tokens_owed + d.tokens
    from differences d where d.user_id = s.user_id and d.tokens > 0
)
update public.subscription_grants g set short_tokens = g.short_tokens - d.tokens
  from differences d
 where d.tokens < 0
   and g.id = (select l.id from public.subscription_grants l where l.user_id = d.user_id order by l.created_at desc, l.id desc limit 1);

set check_function_bodies = off;

-- A tier whose money went back is not in force for the rest of its period, though the subscription runs on at Stripe: no
-- whole period paid means free, an upgrade that is not paid any more means the tier before it.
create or replace function private.limit_returned_tier(p_user_id uuid)
returns void
language sql volatile set search_path = ''
as $$
  update public.subscriptions s
     set returned_tier = left_over.tier, returned_until = left_over.until
    from (
      select max(g.period_end) filter (where gone) as until,
             case
               when not bool_or(gone) then null
               when bool_or(gone and g.renewal) then 'free'
               else coalesce((array_agg(g.tier order by g.created_at desc) filter (where not gone))[1], 'free')
             end as tier
        from public.subscriptions own
        join public.subscription_grants g
          on g.user_id = own.user_id and g.stripe_subscription_id = own.stripe_subscription_id and g.period_end > now()
        left join private.stripe_returns r on r.stripe_invoice_id = g.stripe_invoice_id
        cross join lateral (select coalesce(r.total > 0 and r.returned >= r.total, false) as gone) verdict
       where own.user_id = p_user_id
    ) left_over
   where s.user_id = p_user_id
     and (s.returned_tier, s.returned_until) is distinct from (left_over.tier, left_over.until)
$$;
comment on function private.limit_returned_tier(uuid) is
  'Notes which tier is left of a person''s subscription, and until when, where all money of an invoice of its present period has gone back.';

-- Tokens follow money back: what is unspent is taken, never below what is spent or held; the rest is owed, so that the next
-- paid invoices make up for it, or written down. Where money comes back after all, so do they.
create or replace function private.settle_return(p_user_id uuid, p_invoice_id text)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_grant public.subscription_grants;
  v_return private.stripe_returns;
  v_owed bigint;
  v_tier text;
  v_change bigint;
  v_taken bigint := 0;
  v_short bigint := 0;
  v_forgiven bigint := 0;
  v_reference text;
begin
  select g.* into v_grant
    from public.subscription_grants g where g.stripe_invoice_id = p_invoice_id and g.user_id = p_user_id;
  select r.* into v_return from private.stripe_returns r where r.stripe_invoice_id = p_invoice_id and r.user_id = p_user_id;
  if v_grant.id is null or v_return.stripe_invoice_id is null then
    perform private.limit_returned_tier(p_user_id);
    return;
  end if;
  select s.tokens_owed, public.effective_tier(s) into strict v_owed, v_tier
    from public.subscriptions s where s.user_id = p_user_id;
  v_reference := p_invoice_id || ' returned ' || v_return.version;
  v_change := case when v_return.total > 0
    then round(greatest(v_grant.net_tokens, 0)::numeric * least(v_return.returned, v_return.total) / v_return.total)
    else 0
  end - v_grant.returned_tokens;

  if v_change > 0 then
    perform from public.budgets where subject_kind = 'user' for update;
    perform from public.balances b where b.subject_id = p_user_id for update;
    perform private.expire_reservations(array[p_user_id]);
    select least(v_change, b.allocated - b.used - b.reserved) into strict v_taken
      from public.balances b where b.subject_id = p_user_id;
    if v_taken > 0 then
      perform private.change_allocation(p_user_id, -v_taken, 'subscription', 'system:stripe', v_reference);
      update public.budgets set allocated = allocated - v_taken, updated_at = now() where subject_kind = 'user';
    end if;
    v_forgiven := case when v_return.forgives then v_change - v_taken else 0 end;
    v_owed := v_owed + v_change - v_taken - v_forgiven;
  elsif v_change < 0 then
    v_forgiven := -least(-v_change, v_grant.forgiven_tokens);
    v_short := least(-v_change + v_forgiven, v_owed);
    v_owed := v_owed - v_short;
    v_short := -v_change + v_forgiven - v_short;
    v_taken := -private.grant_subscription(p_user_id, v_short, v_reference);
    v_short := v_short + v_taken;
  end if;

  if v_change <> 0 then
    update public.subscription_grants g
       set returned_tokens = g.returned_tokens + v_change, taken_tokens = g.taken_tokens + v_taken,
           forgiven_tokens = g.forgiven_tokens + v_forgiven, short_tokens = g.short_tokens + v_short
     where g.id = v_grant.id;
    update public.subscriptions s set tokens_owed = v_owed, updated_at = now() where s.user_id = p_user_id;
  end if;
  perform private.limit_returned_tier(p_user_id);
  perform private.audit(
    'system:stripe', null, case when v_change < 0 then 'payment_restored' else 'payment_returned' end, 'user:' || p_user_id,
    jsonb_build_object('tier', v_tier, 'returned_tokens', v_grant.returned_tokens),
    jsonb_build_object(
      'tier', (select public.effective_tier(s) from public.subscriptions s where s.user_id = p_user_id),
      'invoice', p_invoice_id, 'returned', v_return.returned, 'total', v_return.total,
      'returned_tokens', v_grant.returned_tokens + v_change, 'taken_tokens', v_taken, 'forgiven_tokens', v_forgiven,
      'tokens_owed', v_owed
    )
  );
end
$$;
comment on function private.settle_return(uuid, text) is
  'Brings what an invoice granted in line with what of its money has gone back, and the tier too, with an audit entry; nothing while only one of the two is known. The account must be locked by the caller.';

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
  select shares.*, shares.share = 1 and not shares.proration and shares.sign > 0 as renewal,
         sum(round(shares.sign * shares.share * shares.monthly_tokens)) over ()::bigint as net
    into v_main
    from (
      select line.tier, line.sign, line.proration, plan.monthly_tokens, period.starts, period.ends,
             case
               when line.proration then private.period_share(v_subscription_id, period.starts, period.ends)
               when exists (
                 select from public.subscription_grants g
                  where g.stripe_subscription_id = v_subscription_id and g.period_start = period.starts and g.renewal
               ) then 0
               else 1
             end as share
        from jsonb_to_recordset(p_invoice -> 'lines')
               as line(tier text, sign integer, proration boolean, period_start bigint, period_end bigint)
        join public.plans plan using (tier)
        cross join lateral (
          select to_timestamp(line.period_start) as starts, to_timestamp(line.period_end) as ends
        ) period
    ) shares
   order by shares.proration, shares.sign desc, shares.ends desc
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
  'Grants what a paid invoice {invoice_id, customer_id, subscription_id, lines: [{tier, sign, proration, period_start, period_end}]} is worth: sign is 1 for a charge, -1 for a credit, 0 for what is free; times in epoch seconds. Returns {outcome}: applied with the granted tokens, kept, duplicate or unknown_customer.';

create or replace function public.apply_return(p_return jsonb, p_forgives boolean, p_version bigint, p_event jsonb default null)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes grants, balances, the pool, the ledger and the audit log, which no API role may.
declare
  v_user_id uuid := private.lock_customer(p_return ->> 'customer_id', null);
  v_invoice_id text := p_return ->> 'invoice_id';
  v_returned bigint := (p_return ->> 'returned')::bigint;
  v_total bigint := (p_return ->> 'total')::bigint;
  v_known private.stripe_returns;
begin
  if v_user_id is null then
    return jsonb_build_object('outcome', 'unknown_customer');
  elsif exists (select from private.stripe_events e where e.id = p_event ->> 'id') then
    return jsonb_build_object('outcome', 'duplicate');
  end if;
  select r.* into v_known from private.stripe_returns r where r.stripe_invoice_id = v_invoice_id;
  if p_version <> coalesce(v_known.version, 0) then
    return jsonb_build_object('outcome', 'refetch', 'version', coalesce(v_known.version, 0));
  elsif not private.record_stripe_event(p_event) then
    return jsonb_build_object('outcome', 'duplicate');
  elsif (coalesce(v_known.returned, 0), coalesce(v_known.total, v_total)) = (v_returned, v_total) then
    return jsonb_build_object('outcome', 'kept');
  end if;
  insert into private.stripe_returns as r (stripe_invoice_id, user_id, returned, total, forgives)
  values (v_invoice_id, v_user_id, v_returned, v_total, p_forgives)
  on conflict (stripe_invoice_id) do update
    set returned = excluded.returned, total = excluded.total, forgives = excluded.forgives, version = r.version + 1,
        updated_at = now();
  perform private.settle_return(v_user_id, v_invoice_id);
  return jsonb_build_object('outcome', 'applied');
end
$$;
grant execute on function public.apply_return(jsonb, boolean, bigint, jsonb) to service_role;
comment on function public.apply_return(jsonb, boolean, bigint, jsonb) is
  'Applies how much of an invoice''s money has gone back: {invoice_id, customer_id, returned, total}, fetched when p_version held here; p_forgives writes down what was spent of it. Returns {outcome}: applied, kept, duplicate, unknown_customer, or refetch with the version to fetch for.';

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

create or replace function public.get_return_version(p_invoice_id text)
returns bigint
language sql stable security definer set search_path = ''
as $$
  -- Definer: reads what no API role may.
  select coalesce((select r.version from private.stripe_returns r where r.stripe_invoice_id = p_invoice_id), 0)
$$;
grant execute on function public.get_return_version(text) to service_role;
comment on function public.get_return_version(text) is
  'Returns the version of what is known of an invoice''s returned money, to fetch what Stripe says for; 0 where nothing is.';

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
        select coalesce(sum(b.allocated - b.used - b.reserved), 0) from public.balances b where b.subject_id = v_user_id
      ),
      'devices', (select count(*) from public.devices d where d.user_id = v_user_id and d.deleted_at is null)
    )
  );
end
$$;
grant execute on function public.my_subscription() to authenticated;
comment on function public.my_subscription() is
  'Returns the caller''s tier in force, subscription and what was used of it since the period, or for free the month, began.';

create or replace function public.verify_ledger()
returns table (name text, ok boolean, checked bigint, discrepancies jsonb)
language plpgsql stable security definer set search_path = '' set statement_timeout = '15min'
as $$
-- Definer: reads every subject's rows, which no API role may. Stable: one snapshot for all checks.
begin
  return query
  with
  allocations as (
    select b.subject_id, b.allocated as stated, coalesce(e.total, 0) as proven
      from public.balances b
      full join (select subject_id, sum(amount) as total from public.ledger_entries group by subject_id) e using (subject_id)
  ),
  spent as (
    select b.subject_id, b.used + b.debt as stated, coalesce(e.total, 0) as proven
      from public.balances b
      left join (
        select subject_id, period, sum(cost) as total
          from (
            select subject_id, period, cost from public.usage_events
            union all
            select subject_id, period, cost from private.retired_usage
          ) debits
         group by subject_id, period
      ) e on e.subject_id = b.subject_id and e.period = b.period
  ),
  held as (
    select subject_id, b.reserved as stated, coalesce(r.total, 0) as proven
      from public.balances b
      full join (
        select subject_id, sum(amount) as total from public.reservations where status = 'held' group by subject_id
      ) r using (subject_id)
  ),
  full_days as (
    select subject_id, day from private.rollup_names group by subject_id, day having count(*) >= private.rollup_name_limit()
  ),
  events as (
    select e.subject_id, date_bin('15 minutes', e.occurred_at, 'epoch') as bucket,
           case when f.day is null or n.day is not null then e.provider else 'other' end as provider,
           case when f.day is null or n.day is not null then e.model else 'other' end as model, e.source,
           count(*) as events, sum(prompt_count) as prompts, sum(input_tokens) as input_tokens,
           sum(output_tokens) as output_tokens, sum(total_tokens) as total_tokens, sum(cost) as cost,
           coalesce(sum(nano_usd), 0) as nano_usd
      from public.usage_events e
      left join full_days f on f.subject_id = e.subject_id and f.day = (e.occurred_at at time zone 'UTC')::date
      left join private.rollup_names n
        on n.subject_id = f.subject_id and n.day = f.day and n.provider = e.provider and n.model = e.model
     group by 1, 2, 3, 4, 5
  ),
  rollups as (
    select subject_id,
           array[
             r.events, r.prompts, r.input_tokens, r.output_tokens, r.total_tokens, r.cost, r.nano_usd
           ]::numeric[] as stated,
           array[
             e.events, e.prompts, e.input_tokens, e.output_tokens, e.total_tokens, e.cost, e.nano_usd
           ]::numeric[] as proven
      from public.usage_rollups r
      full join events e using (subject_id, bucket, provider, model, source)
     -- Rollups outlive the events retention drops.
     where bucket >= (select min(lower_bound) from private.usage_partitions())
  ),
  totals as (
    select bucket::text as subject, t.stated, r.proven
      from (
        select bucket,
               array[
                 sum(events), sum(prompts), sum(input_tokens), sum(output_tokens), sum(total_tokens), sum(cost), sum(nano_usd)
               ] as stated
          from public.usage_totals group by bucket
      ) t
      full join (
        select bucket,
               array[
                 sum(events), sum(prompts), sum(input_tokens), sum(output_tokens), sum(total_tokens), sum(cost), sum(nano_usd)
               ] as proven
          from public.usage_rollups group by bucket
      ) r using (bucket)
  ),
  pools as (
    select p.subject_kind, p.allocated as stated, coalesce(b.total, 0) as proven
      from public.budgets p
      left join (select subject_kind, sum(allocated) as total from public.balances group by subject_kind) b using (subject_kind)
  ),
  transfers as (
    select e.reference, 0::numeric as stated, sum(e.amount) as proven
      from public.ledger_entries e where e.kind = 'transfer' group by e.reference
  ),
  tracked as (
    select u.id as subject_id,
           array[coalesce(c.prompts, 0), coalesce(c.tokens, 0)]::numeric[] as stated,
           array[coalesce(r.prompts, 0), coalesce(r.tokens, 0)]::numeric[] as proven
      from public.users u
      left join public.tracker_counters c on c.user_id = u.id
      left join (
        select subject_id, sum(prompts) as prompts, sum(total_tokens) as tokens
          from public.usage_rollups where source = 'tracker' group by subject_id
      ) r on r.subject_id = u.id
     where c.user_id is not null or r.subject_id is not null
  ),
  owed as (
    select b.subject_id, b.debt as stated, 0::bigint as proven
      from public.balances b where b.debt > 0 and b.allocated > b.used + b.reserved
  ),
  -- A closed generation has one event of what it was settled at; corrections are ledger entries.
  generated as (
    select g.id as subject_id,
           case r.status
             when 'held' then 0
             else private.weighted_tokens(g, g.input_tokens, g.output_tokens) - g.uncollected + coalesce(c.amount, 0)
           end::numeric as stated,
           coalesce(e.cost, 0) as proven
      from public.generations g
      join public.reservations r on r.id = g.id
      left join (
        select id, sum(cost) as cost from public.usage_events where source in ('chat', 'api') group by id
      ) e on e.id = g.id
      left join (
        select reference, sum(amount) as amount from public.ledger_entries where kind = 'correction' group by reference
      ) c on c.reference = 'generation:' || g.id
     where r.closed_at is null or r.closed_at >= (select min(lower_bound) from private.usage_partitions())
  ),
  -- What was granted is what the money that was kept is worth, but for what is owed or was written down.
  paid as (
    select user_id as subject_id,
           array[coalesce(g.granted, 0), coalesce(e.total, 0)]::numeric[] as stated,
           array[coalesce(g.worth, 0) + coalesce(s.tokens_owed, 0), coalesce(g.granted, 0) - coalesce(g.short, 0)]::numeric[] as proven
      from (
        select g.user_id, sum(g.granted_tokens + g.short_tokens - g.taken_tokens) as granted, sum(g.short_tokens) as short,
               sum(g.net_tokens - g.returned_tokens + g.forgiven_tokens) as worth
          from public.subscription_grants g group by g.user_id
      ) g
      full join public.subscriptions s using (user_id)
      full join (
        select subject_id as user_id, sum(amount) as total
          from public.ledger_entries where kind = 'subscription' group by subject_id
      ) e using (user_id)
     where exists (select from public.users u where u.id = user_id)
  ),
  findings as (
    select 'allocated = sum of ledger entries' as title, subject_id::text as subject, to_jsonb(stated) as stated, to_jsonb(proven) as proven from allocations
    union all
    select 'used + debt = sum of event costs in the period', subject_id::text, to_jsonb(stated), to_jsonb(proven) from spent
    union all
    select 'reserved = sum of held reservations', subject_id::text, to_jsonb(stated), to_jsonb(proven) from held
    union all
    select 'rollups = sums of events', subject_id::text, to_jsonb(stated), to_jsonb(proven) from rollups
    union all
    select 'totals = sums of rollups', subject, to_jsonb(stated), to_jsonb(proven) from totals
    union all
    select 'legs of each transfer cancel out', reference, to_jsonb(stated), to_jsonb(proven) from transfers
    union all
    select 'pools = sums of allocations', subject_kind, to_jsonb(stated), to_jsonb(proven) from pools
    union all
    select 'tracker counters = sums of tracker rollups', subject_id::text, to_jsonb(stated), to_jsonb(proven) from tracked
    union all
    select 'debt only where nothing is left', subject_id::text, to_jsonb(stated), to_jsonb(proven) from owed
    union all
    select 'generations = their events and corrections', subject_id::text, to_jsonb(stated), to_jsonb(proven) from generated
    union all
    select 'tokens granted for payments = worth of the money kept', subject_id::text, to_jsonb(stated), to_jsonb(proven) from paid
  ),
  titles(position, title) as (
    values
      (1, 'allocated = sum of ledger entries'),
      (2, 'used + debt = sum of event costs in the period'),
      (3, 'reserved = sum of held reservations'),
      (4, 'rollups = sums of events'),
      (5, 'totals = sums of rollups'),
      (6, 'legs of each transfer cancel out'),
      (7, 'pools = sums of allocations'),
      (8, 'tracker counters = sums of tracker rollups'),
      (9, 'debt only where nothing is left'),
      (10, 'generations = their events and corrections'),
      (11, 'tokens granted for payments = worth of the money kept')
  )
  select t.title,
         count(*) filter (where f.stated is distinct from f.proven and f.title is not null) = 0,
         count(f.title),
         coalesce(
           jsonb_agg(jsonb_build_object('subject', f.subject, 'stated', f.stated, 'proven', f.proven))
             filter (where f.stated is distinct from f.proven and f.title is not null),
           '[]'
         )
    from titles t left join findings f on f.title = t.title
   group by t.position, t.title
   order by t.position;
end
$$;
grant execute on function public.verify_ledger() to service_role;
comment on function public.verify_ledger() is
  'Recomputes every balance, hold, rollup, counter, generation and paid grant from the rows behind it. One row per check; ok is false where discrepancies lists differences.';

reset check_function_bodies;

-- Notes the SHA-256 of the text above.
select private.record_migration('20261127215916', '184f6765cce4a4b66edb2d351019bcde3e017b26f60eacef652f2b8641bc1c61');
