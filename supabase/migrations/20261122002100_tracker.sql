-- Tracker: prompts and tokens of an account that were used elsewhere, observed and counted, never debited.

create table if not exists public.tracker_counters (
  user_id uuid primary key references public.users (id) on delete cascade,
  prompts bigint not null default 0 check (prompts between 0 and 9007199254740991),
  tokens bigint not null default 0 check (tokens between 0 and 9007199254740991),
  updated_at timestamptz not null default now()
) with (fillfactor = 50);
alter table public.tracker_counters enable row level security;
revoke all on table public.tracker_counters from anon, authenticated, service_role;
grant select on table public.tracker_counters to authenticated;

drop policy if exists tracker_counters_read_own on public.tracker_counters;
create policy tracker_counters_read_own on public.tracker_counters
  for select to authenticated
  using (user_id = (select public.current_user_id()));

comment on table public.tracker_counters is 'What clients tracked for each account, summed. Written only by track_usage; always the sum of the account''s rollups with the source tracker.';
comment on column public.tracker_counters.user_id is 'The account.';
comment on column public.tracker_counters.prompts is 'Prompts tracked.';
comment on column public.tracker_counters.tokens is 'Language-model tokens tracked.';
comment on column public.tracker_counters.updated_at is 'When something was tracked last.';

create or replace function public.tracker_user(p_email text)
returns uuid
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: reads every account, which no API role may.
declare
  v_user uuid;
begin
  select u.id into v_user from public.users u where u.email = p_email;
  if v_user is null then
    raise sqlstate 'PT404' using message = 'USER_NOT_FOUND';
  end if;
  return v_user;
end
$$;
revoke all on function public.tracker_user(text) from public, anon, authenticated, service_role;
grant execute on function public.tracker_user(text) to service_role;
comment on function public.tracker_user(text) is
  'The account with this address, in lower case, for whom a tracker token is made; raises USER_NOT_FOUND.';

-- Items are taken per account in the order given, each gets an outcome of its own.
create or replace function public.track_usage(p_items jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: the only writer of the counters and the events behind them; no API role may write them itself.
declare
  v_most constant bigint := 9007199254740991;
  v_users uuid[];
  v_item record;
  v_user uuid;
  v_prompts bigint;
  v_tokens bigint;
  v_answer jsonb;
  v_answers jsonb[] := '{}';
  v_hash bytea;
  v_earlier private.idempotency_keys;
  v_keys text[] := '{}';
  v_stored private.idempotency_keys[] := '{}';
  v_position integer;
  v_events public.usage_events[] := '{}';
begin
  select array_agg(distinct i.user_id) into v_users from jsonb_to_recordset(p_items) as i(user_id uuid);
  -- Counters are made and then locked, both in id order, so concurrent calls cannot deadlock.
  insert into public.tracker_counters (user_id)
  select u.id from public.users u where u.id = any (v_users) order by u.id
  on conflict (user_id) do nothing;
  perform from public.tracker_counters c where c.user_id = any (v_users) order by c.user_id for update;

  for v_item in
    select i.ord::integer as ord, i.user_id, i.usage, i.token_count, i.key,
           c.user_id is not null as known, c.prompts, c.tokens, b.period,
           k.request_hash as earlier_hash, k.answer as earlier_answer
      from rows from (
        jsonb_to_recordset(p_items) as (user_id uuid, usage integer, token_count bigint, key text)
      ) with ordinality as i(user_id, usage, token_count, key, ord)
      left join public.tracker_counters c on c.user_id = i.user_id
      left join public.balances b on b.subject_id = i.user_id
      left join private.idempotency_keys k on k.subject_id = i.user_id and k.key = i.key
     order by i.user_id, i.ord
  loop
    if v_user is distinct from v_item.user_id then
      v_user := v_item.user_id;
      v_prompts := v_item.prompts;
      v_tokens := v_item.tokens;
    end if;

    v_hash := null;
    v_answer := case when not v_item.known then '{"code": "USER_NOT_FOUND"}'::jsonb end;

    -- A key seen before, in an earlier call or earlier in this one, repeats its answer.
    if v_answer is null and v_item.key is not null then
      v_hash := sha256(convert_to(jsonb_build_array('track', v_item.usage, v_item.token_count)::text, 'UTF8'));
      v_position := array_position(v_keys, v_user || v_item.key);
      v_earlier := row(v_user, v_item.key, v_item.earlier_hash, v_item.earlier_answer, null);
      if v_position is not null then
        v_earlier := v_stored[v_position];
      end if;
      v_answer := case
        when v_earlier.request_hash is null then null
        when v_earlier.request_hash = v_hash then v_earlier.answer
        else '{"code": "IDEMPOTENCY_MISMATCH"}'::jsonb
      end;
    end if;

    if v_answer is null and (v_item.usage > v_most - v_prompts or v_item.token_count > v_most - v_tokens) then
      v_answer := '{"code": "COUNTER_FULL"}'::jsonb;
    elsif v_answer is null then
      v_prompts := v_prompts + v_item.usage;
      v_tokens := v_tokens + v_item.token_count;
      v_events := v_events || row(
        gen_random_uuid(), v_user, v_user, null, 'tracker', 'unknown', 'unknown', v_item.usage,
        0, 0, v_item.token_count, 0, 'client_reported', v_item.period, null, now(), now()
      )::public.usage_events;
      v_answer := jsonb_build_object('prompts', v_prompts, 'tokens', v_tokens);
      -- Only what took effect is remembered: a refused item counted nothing and may be tried again.
      if v_hash is not null then
        v_stored := v_stored || row(v_user, v_item.key, v_hash, v_answer, now())::private.idempotency_keys;
        v_keys := array_append(v_keys, v_user || v_item.key);
      end if;
    end if;
    v_answers[v_item.ord] := v_answer;
  end loop;

  if cardinality(v_events) > 0 then
    perform private.record_usage_events(v_events);
  end if;
  if cardinality(v_stored) > 0 then
    insert into private.idempotency_keys select k.* from unnest(v_stored) k;
  end if;
  update public.tracker_counters c
     set prompts = c.prompts + tracked.prompts, tokens = c.tokens + tracked.tokens, updated_at = now()
    from (
      select e.user_id, sum(e.prompt_count) as prompts, sum(e.total_tokens) as tokens
        from unnest(v_events) e group by e.user_id
    ) tracked
   where c.user_id = tracked.user_id;
  return to_jsonb(v_answers);
end
$$;
revoke all on function public.track_usage(jsonb) from public, anon, authenticated, service_role;
grant execute on function public.track_usage(jsonb) to service_role;
comment on function public.track_usage(jsonb) is
  'Adds to the counters of accounts in one transaction. Takes an array of {user_id, usage, token_count, key}, answers an array of outcomes in the same order: {prompts, tokens} after the item, or {code} where it was refused.';

-- The books, as before, with the counters among them.
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
    select b.subject_id, b.used as stated, coalesce(e.total, 0) as proven
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
  events as (
    select subject_id, date_bin('15 minutes', occurred_at, 'epoch') as bucket, provider, model, source,
           count(*) as events, sum(prompt_count) as prompts, sum(input_tokens) as input_tokens,
           sum(output_tokens) as output_tokens, sum(total_tokens) as total_tokens, sum(cost) as cost
      from public.usage_events
     group by 1, 2, 3, 4, 5
  ),
  rollups as (
    select subject_id,
           array[r.events, r.prompts, r.input_tokens, r.output_tokens, r.total_tokens, r.cost]::numeric[] as stated,
           array[e.events, e.prompts, e.input_tokens, e.output_tokens, e.total_tokens, e.cost]::numeric[] as proven
      from public.usage_rollups r
      full join events e using (subject_id, bucket, provider, model, source)
     -- Rollups outlive the events retention drops.
     where bucket >= (select min(lower_bound) from private.usage_partitions())
  ),
  totals as (
    select bucket::text as subject, t.stated, r.proven
      from (
        select bucket,
               array[sum(events), sum(prompts), sum(input_tokens), sum(output_tokens), sum(total_tokens), sum(cost)] as stated
          from public.usage_totals group by bucket
      ) t
      full join (
        select bucket,
               array[sum(events), sum(prompts), sum(input_tokens), sum(output_tokens), sum(total_tokens), sum(cost)] as proven
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
  findings as (
    select 'allocated = sum of ledger entries' as title, subject_id::text as subject, to_jsonb(stated) as stated, to_jsonb(proven) as proven from allocations
    union all
    select 'used = sum of event costs in the period', subject_id::text, to_jsonb(stated), to_jsonb(proven) from spent
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
  ),
  titles(position, title) as (
    values
      (1, 'allocated = sum of ledger entries'),
      (2, 'used = sum of event costs in the period'),
      (3, 'reserved = sum of held reservations'),
      (4, 'rollups = sums of events'),
      (5, 'totals = sums of rollups'),
      (6, 'legs of each transfer cancel out'),
      (7, 'pools = sums of allocations'),
      (8, 'tracker counters = sums of tracker rollups')
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
revoke all on function public.verify_ledger() from public, anon, authenticated, service_role;
grant execute on function public.verify_ledger() to service_role;
comment on function public.verify_ledger() is
  'Recomputes every balance, hold, rollup and counter from the rows behind it. One row per check; ok is false where discrepancies lists differences.';
