-- TO DESCRIBE: what changes, and why.

-- What remains of a balance is a column of it. Both tables are written anew: a million rows take about a second.
alter table public.balances
  add column if not exists remaining bigint not null generated always as (allocated - used - reserved) stored;
alter table public.balances drop constraint if exists balances_never_overspent;
alter table public.balances add constraint balances_never_overspent check (remaining >= 0);
comment on table public.balances is 'What each device or user may spend. Written only by the metering functions.';
comment on column public.balances.remaining is 'Tokens that may still be spent: allocated - used - reserved, worked out here and nowhere else.';

-- Keys and requests are kept by the beginnings of their hashes; answers that were given stay as they are.
do $$
begin
  if (
    select a.atttypid = 'text'::regtype from pg_catalog.pg_attribute a
     where a.attrelid = 'private.idempotency_keys'::regclass and a.attname = 'key'
  ) then
    alter table private.idempotency_keys drop constraint idempotency_keys_key_check;
    alter table private.idempotency_keys
      alter column key type uuid using encode(substr(sha256(convert_to(key, 'UTF8')), 1, 16), 'hex')::uuid,
      alter column request_hash type bigint using ('x' || encode(substr(request_hash, 1, 8), 'hex'))::bit(64)::bigint,
      alter column answer drop not null,
      add column tokens_used bigint,
      add column remaining bigint;
  end if;
end
$$;
drop index if exists private.idempotency_keys_created_at_idx;
create index if not exists idempotency_keys_hour_idx on private.idempotency_keys (date_bin('1 hour', created_at, 'epoch'));
comment on column private.idempotency_keys.key is 'The first 128 bits of the SHA-256 of the caller''s key.';
comment on column private.idempotency_keys.request_hash is 'The first 64 bits of the SHA-256 of what was asked: the same key with another request is refused.';
comment on column private.idempotency_keys.answer is 'The original answer; null for a device''s debit, whose answer is made of the other columns.';
comment on column private.idempotency_keys.created_at is 'When it was first used; kept for at least 48 hours.';
comment on column private.idempotency_keys.tokens_used is 'What a device''s debit took; its event is that of keyed_event_id.';
comment on column private.idempotency_keys.remaining is 'What a device''s debit left.';

set check_function_bodies = off;

create or replace function private.add_to_rollup(p_rollup public.usage_rollups)
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  insert into public.usage_rollups as r values (p_rollup.*)
  on conflict (subject_id, bucket, provider, model, source) do update
    set events = r.events + excluded.events,
        prompts = r.prompts + excluded.prompts,
        input_tokens = r.input_tokens + excluded.input_tokens,
        output_tokens = r.output_tokens + excluded.output_tokens,
        total_tokens = r.total_tokens + excluded.total_tokens,
        cost = r.cost + excluded.cost,
        nano_usd = r.nano_usd + excluded.nano_usd;
end
$$;
comment on function private.add_to_rollup(public.usage_rollups) is
  'Adds to the rollup of a quarter hour, subject, provider, model and source.';

create or replace function private.add_to_total(p_total public.usage_totals)
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  insert into public.usage_totals as t values (p_total.*)
  on conflict (bucket, shard) do update
    set events = t.events + excluded.events,
        prompts = t.prompts + excluded.prompts,
        input_tokens = t.input_tokens + excluded.input_tokens,
        output_tokens = t.output_tokens + excluded.output_tokens,
        total_tokens = t.total_tokens + excluded.total_tokens,
        cost = t.cost + excluded.cost,
        nano_usd = t.nano_usd + excluded.nano_usd;
end
$$;
comment on function private.add_to_total(public.usage_totals) is
  'Adds to everybody''s total of a quarter hour, in one of its shards.';

create or replace function private.balance_json(p_subject_id uuid)
returns jsonb
language sql stable set search_path = ''
as $$
  select jsonb_build_object(
    b.subject_kind || '_id', b.subject_id, 'allocated', b.allocated, 'used', b.used, 'reserved', b.reserved,
    'remaining', b.remaining
  ) from public.balances b where b.subject_id = p_subject_id
$$;
comment on function private.balance_json(uuid) is 'Returns a balance as the admin API shows it.';

create or replace function private.budget_json(p_kind text)
returns jsonb
language sql stable set search_path = ''
as $$
  select jsonb_build_object(
    'subject_kind', p.subject_kind, 'total', p.total, 'allocated', p.allocated,
    'used', coalesce(b.used, 0), 'reserved', coalesce(b.reserved, 0),
    'remaining', coalesce(b.remaining, 0),
    'unallocated', case when p.total is not null then greatest(p.total - p.allocated, 0) end
  )
    from public.budgets p
    left join (
      select subject_kind, sum(used)::bigint as used, sum(reserved)::bigint as reserved,
             sum(remaining)::bigint as remaining
        from public.balances where subject_kind = p_kind group by subject_kind
    ) b using (subject_kind)
   where p.subject_kind = p_kind
$$;
comment on function private.budget_json(text) is 'Returns a pool with what is allocated from it, spent, held and left.';

-- Changes one allocation and its ledger; refuses to go below what is used and held. The caller holds the locks.
create or replace function private.change_allocation(
  p_subject_id uuid, p_tokens bigint, p_kind text, p_actor text, p_reference text
)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_balance public.balances;
begin
  select * into strict v_balance from public.balances where subject_id = p_subject_id;
  if v_balance.remaining + p_tokens < 0 then
    raise sqlstate 'PT403' using message = 'INSUFFICIENT_TOKENS', detail = jsonb_build_object(
      'requested', -p_tokens, 'remaining', v_balance.remaining
    )::text;
  end if;
  if v_balance.allocated + p_tokens > 9007199254740991 then
    raise sqlstate 'PT400' using message = 'ALLOCATION_TOO_LARGE';
  end if;
  update public.balances set allocated = allocated + p_tokens, updated_at = now() where subject_id = p_subject_id;
  insert into public.ledger_entries (subject_id, kind, amount, period, actor, reference)
  values (p_subject_id, p_kind, p_tokens, v_balance.period, p_actor, p_reference);
end
$$;
comment on function private.change_allocation(uuid, bigint, text, text, text) is
  'Adds to (or takes from) an allocation and writes the ledger entry; raises INSUFFICIENT_TOKENS.';

-- Changes what a closed generation came to. Its tokens change by a ledger entry, and what it was settled at stays in its
-- event; what upstream charges is no part of the ledger, and changes in the event. The caller has locked the pool and then
-- the balance.
create or replace function private.change_settlement(
  p_generation public.generations, p_provenance text, p_input bigint, p_output bigint, p_nano_usd bigint,
  p_actor text
)
returns bigint
language plpgsql volatile set search_path = ''
as $$
declare
  v_balance public.balances;
  v_difference bigint :=
    private.weighted_tokens(p_generation, p_generation.input_tokens, p_generation.output_tokens)
    - private.weighted_tokens(p_generation, p_input, p_output);
  v_amount bigint;
begin
  select b.* into strict v_balance from public.balances b where b.subject_id = p_generation.subject_id;
  v_amount := case
    when v_difference > 0 then greatest(v_difference - p_generation.uncollected, 0)
    -- More than an account was ever given, and does not hold for others, cannot be taken from it.
    else greatest(v_difference, v_balance.reserved - v_balance.allocated)
  end;
  if v_amount <> 0 then
    -- What can no longer be taken back becomes debt.
    update public.balances b
       set allocated = b.allocated + v_amount,
           used = b.used - greatest(-b.remaining - v_amount, 0),
           debt = b.debt + greatest(-b.remaining - v_amount, 0),
           updated_at = now()
     where b.subject_id = p_generation.subject_id;
    insert into public.ledger_entries (subject_id, kind, amount, period, actor, reference)
    values (
      p_generation.subject_id, 'correction', v_amount, v_balance.period, p_actor, 'generation:' || p_generation.id
    );
    update public.budgets set allocated = allocated + v_amount, updated_at = now() where subject_kind = 'user';
  end if;
  update public.generations g
     set provenance = p_provenance, input_tokens = p_input, output_tokens = p_output,
         provider = p_generation.provider, upstream_id = p_generation.upstream_id,
         input_floor = p_generation.input_floor, output_floor = p_generation.output_floor,
         uncollected = g.uncollected + v_amount - v_difference,
         reconcile_at = p_generation.reconcile_at
   where g.id = p_generation.id;
  perform private.change_event_money(
    p_generation, p_provenance, private.generation_money(p_generation, p_provenance, p_input, p_output, p_nano_usd)
  );
  return v_amount;
end
$$;
comment on function private.change_settlement(public.generations, text, bigint, bigint, bigint, text) is
  'Changes what a closed generation came to, in tokens and in money, with a ledger entry for the difference; returns the tokens given back, negative where more were taken. The pool and the balance must be locked by the caller.';

create or replace function private.close_balance(p_user_id uuid, p_actor text)
returns bigint
language plpgsql volatile set search_path = ''
as $$
declare
  v_unused bigint;
begin
  perform from public.budgets where subject_kind = 'user' for update;
  perform from public.balances b where b.subject_id = p_user_id for update;
  -- What is still running is paid for at its hold: nobody is there any more to wait for its end.
  perform private.settle_lost_generations(array[p_user_id], 'infinity');
  update public.generations g set reconcile_at = null where g.subject_id = p_user_id and g.reconcile_at is not null;
  with released as (
    update public.reservations set status = 'expired', closed_at = now()
     where subject_id = p_user_id and status = 'held' returning amount
  )
  update public.balances
     set reserved = reserved - (select coalesce(sum(amount), 0) from released), updated_at = now()
   where subject_id = p_user_id
  returning remaining into v_unused;
  if v_unused > 0 then
    perform private.change_allocation(p_user_id, -v_unused, 'adjustment', p_actor, 'account deleted');
    update public.budgets set allocated = allocated - v_unused, updated_at = now() where subject_kind = 'user';
  end if;
  return coalesce(v_unused, 0);
end
$$;
comment on function private.close_balance(uuid, text) is
  'Ends the holds of an account and returns its unused tokens to the pool; returns how many. The balance stays for the books.';

create or replace function private.close_device(p_device_id uuid, p_actor text, p_note text)
returns bigint
language plpgsql volatile set search_path = ''
as $$
declare
  v_unused bigint;
begin
  update public.devices
     set deleted_at = now(), fingerprint_hash = null, secret_hash = null, token_version = token_version + 1
   where id = p_device_id;

  -- Its holds end with it; what it used stays in the books.
  with released as (
    update public.reservations set status = 'expired', closed_at = now()
     where subject_id = p_device_id and status = 'held' returning amount
  )
  update public.balances set reserved = reserved - (select coalesce(sum(amount), 0) from released)
   where subject_id = p_device_id
  returning remaining into v_unused;
  if v_unused > 0 then
    perform private.change_allocation(p_device_id, -v_unused, 'adjustment', p_actor, p_note);
    update public.budgets set allocated = allocated - v_unused, updated_at = now() where subject_kind = 'device';
  end if;
  return coalesce(v_unused, 0);
end
$$;
comment on function private.close_device(uuid, text, text) is
  'Ends the tokens and holds of a device, takes its fingerprint, and returns its unused tokens to the pool; returns how many. The pool and its balance must be locked.';

-- Ends a running generation: its hold goes, its cost is debited, and where that is more than hold and balance together
-- the rest becomes debt. The caller has locked the balance, and records the event that is answered.
create or replace function private.close_generation(
  p_generation public.generations, p_status text, p_provenance text, p_input bigint, p_output bigint,
  p_nano_usd bigint default null
)
returns public.usage_events
language plpgsql volatile set search_path = ''
as $$
declare
  v_cost bigint := private.weighted_tokens(p_generation, p_input, p_output);
  v_held bigint;
  v_period integer;
begin
  update public.reservations r
     set status = p_status, closed_at = now(), usage_event_id = case when p_input + p_output > 0 then r.id end
   where r.id = p_generation.id and r.status = 'held'
  returning r.amount into strict v_held;
  update public.balances b
     set reserved = b.reserved - v_held,
         used = b.used + least(v_cost, b.remaining + v_held),
         debt = b.debt + v_cost - least(v_cost, b.remaining + v_held),
         updated_at = now()
   where b.subject_id = p_generation.subject_id
  returning b.period into strict v_period;
  update public.generations g
     set provenance = p_provenance, input_tokens = p_input, output_tokens = p_output,
         provider = p_generation.provider, upstream_id = p_generation.upstream_id,
         input_floor = p_generation.input_floor, output_floor = p_generation.output_floor,
         reconcile_at = case when p_provenance = 'estimated' and p_generation.upstream_id is not null then now() end
   where g.id = p_generation.id;
  return row(
    p_generation.id, p_generation.subject_id, p_generation.subject_id, null, p_generation.source,
    coalesce(p_generation.provider, 'unknown'), p_generation.model, 1, p_input, p_output, p_input + p_output, v_cost,
    p_provenance, v_period, null, now(), now(),
    private.generation_money(p_generation, p_provenance, p_input, p_output, p_nano_usd)
  )::public.usage_events;
end
$$;
comment on function private.close_generation(public.generations, text, text, bigint, bigint, bigint) is
  'Settles a running generation and returns the usage event to record; the balance must be locked by the caller.';

create or replace function private.content_key(p_content jsonb)
returns text
language plpgsql immutable set search_path = ''
as $$
begin
  return 'content ' || encode(sha256(convert_to(p_content::text, 'UTF8')), 'hex');
end
$$;
comment on function private.content_key(jsonb) is
  'Returns the key of an observed event that was sent without one: what it says.';

-- One page of devices, sorted by one of a closed list of columns.
create or replace function private.device_page(
  p_query text, p_limit integer, p_sort text, p_after_value text, p_after_id uuid
)
returns jsonb
language plpgsql stable set search_path = ''
as $$
declare
  v_column text := case ltrim(p_sort, '-')
    when 'created' then 'd.created_at'
    when 'name' then 'd.name'
    when 'allocated' then 'b.allocated'
    when 'used' then 'b.used'
    when 'remaining' then 'b.remaining'
    when 'last_seen' then 'd.last_registered_at'
  end;
  v_type text := case ltrim(p_sort, '-')
    when 'name' then 'text' when 'created' then 'timestamptz' when 'last_seen' then 'timestamptz' else 'bigint'
  end;
  v_direction text := case when p_sort like '-%' then 'desc' else 'asc' end;
  v_page jsonb;
begin
  execute format(
    $query$
      select coalesce(jsonb_agg(
               jsonb_build_object(
                 'id', p.id, 'name', p.name, 'user_email', p.user_email, 'allocated', p.allocated, 'used', p.used,
                 'reserved', p.reserved, 'remaining', p.remaining, 'blocked', p.blocked,
                 'registrations', p.registrations, 'created_at', p.created_at,
                 'last_seen', greatest(p.last_registered_at, (
                   select max(r.bucket) from public.usage_rollups r where r.subject_id = p.id
                 )),
                 'usage_this_month', private.device_models_this_month(p.id),
                 'sort_value', p.sort_value::text
               ) order by p.sort_value %2$s, p.id %2$s
             ), '[]')
        from (
          select d.id, d.name, u.email as user_email, b.allocated, b.used, b.reserved, b.remaining, d.blocked, d.registrations,
                 d.created_at, d.last_registered_at, %1$s as sort_value
            from public.devices d
            join public.balances b on b.subject_id = d.id
            left join public.users u on u.id = d.user_id
           where d.deleted_at is null
             and ($1 is null or lower(d.name) like $1 or u.email like $1 or d.id::text like $1)
             and ($2 is null or (%1$s, d.id) %3$s ($2::%4$s, $3))
           order by %1$s %2$s, d.id %2$s
           limit $4
        ) p
    $query$,
    v_column, v_direction, case v_direction when 'desc' then '<' else '>' end, v_type
  )
  into v_page
  using '%' || replace(replace(replace(lower(p_query), '\', '\\'), '%', '\%'), '_', '\_') || '%',
        p_after_value, p_after_id, p_limit;
  return v_page;
exception
  -- The cursor comes from the caller.
  when data_exception then
    raise sqlstate 'PT400' using message = 'VALIDATION_FAILED';
end
$$;
comment on function private.device_page(text, integer, text, text, uuid) is
  'Returns devices with balances and this month''s usage, one page; sort_value and id of the last row page on.';

create or replace function private.earlier_answer(p_subject_id uuid, p_key text, p_request jsonb)
returns jsonb
language plpgsql stable set search_path = ''
as $$
declare
  v_answer jsonb := private.replayed_answer(
    p_subject_id, private.idempotency_key_hash(p_key), private.request_hash(p_request)
  );
begin
  if v_answer ->> 'code' = 'IDEMPOTENCY_MISMATCH' then
    raise sqlstate 'PT422' using message = 'IDEMPOTENCY_MISMATCH';
  end if;
  return v_answer;
end
$$;
comment on function private.earlier_answer(uuid, text, jsonb) is
  'Returns the answer given to this idempotency key before, or null; raises IDEMPOTENCY_MISMATCH for another request.';

create or replace function private.ensure_usage_partition(p_at timestamptz)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_name constant text := 'usage_events_' || to_char(p_at at time zone 'UTC', 'YYYY_MM');
  v_from timestamptz;
  v_to timestamptz;
begin
  -- May be out of date in one direction only: a month this session has not heard of yet is tried below.
  if to_regclass('private.' || v_name) is not null then
    return;
  end if;
  v_from := date_trunc('month', p_at, 'UTC');
  v_to := (v_from at time zone 'UTC' + interval '1 month') at time zone 'UTC';
  -- Two writers may meet at the turn of a month: the second waits until the first has committed or rolled back.
  perform pg_advisory_xact_lock(hashtext('private.ensure_usage_partition'));
  -- Creating is the second look. Looking again would not do: waiting for an advisory lock tells the catalogue cache
  -- nothing of what others committed meanwhile, and a transaction's snapshot may be older still.
  begin
    execute format('create table private.%I (like public.usage_events including all)', v_name);
  exception when duplicate_table then
    return;
  end;
  execute format('alter table private.%I enable row level security', v_name);
  execute format('comment on table private.%I is %L', v_name, 'Usage events of ' || to_char(v_from at time zone 'UTC', 'YYYY-MM') || '.');
  -- Attaching locks the parent less than creating a partition in place: writers go on.
  execute format(
    'alter table public.usage_events attach partition private.%I for values from (%L) to (%L)', v_name, v_from, v_to
  );
end
$$;
comment on function private.ensure_usage_partition(timestamptz) is
  'Creates the month''s partition of usage_events where it is missing.';

create or replace function private.ensure_usage_partitions(p_events public.usage_events[])
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_event public.usage_events;
  v_from timestamptz;
  v_to timestamptz;
begin
  foreach v_event in array p_events loop
    -- One question for each month in a row, not for each event.
    if (v_event.occurred_at >= v_from and v_event.occurred_at < v_to) is not true then
      v_from := date_trunc('month', v_event.occurred_at, 'UTC');
      v_to := v_from + interval '28 days';
      perform private.ensure_usage_partition(v_from);
    end if;
  end loop;
end
$$;
comment on function private.ensure_usage_partitions(public.usage_events[]) is 'Creates the partitions these events fall into.';

-- Holds of devices are given back when they expire; those of chat requests are not, as an answer may have been produced.
create or replace function private.expire_reservations(p_subjects uuid[])
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  if not exists (
    select from public.reservations r
     where r.subject_id = any (p_subjects) and r.status = 'held' and r.expires_at <= now()
  ) then
    return;
  end if;
  with expired as (
    update public.reservations r
       set status = 'expired', closed_at = now()
     where r.subject_id = any (p_subjects) and r.status = 'held' and r.expires_at <= now()
       and not exists (select from public.generations g where g.id = r.id)
    returning r.subject_id, r.amount
  )
  update public.balances b
     set reserved = b.reserved - e.amount, updated_at = now()
    from (select subject_id, sum(amount)::bigint as amount from expired group by subject_id) e
   where b.subject_id = e.subject_id;
end
$$;
comment on function private.expire_reservations(uuid[]) is
  'Closes expired holds of the given subjects and returns their tokens; the balances must be locked by the caller.';

create or replace function private.find_device(
  p_fingerprint_hash bytea, p_user_id uuid, p_secret_hash bytea, p_token jsonb
)
returns public.devices
language plpgsql stable set search_path = ''
as $$
declare
  v_device public.devices;
begin
  if p_user_id is not null then
    select * into v_device from public.devices d
     where d.fingerprint_hash = p_fingerprint_hash and d.first_user_id = p_user_id;
    if found then
      return v_device;
    end if;
  end if;

  -- Whoever shows a good token or the secret has had the device before. A sign-in takes over what is nobody's, and no more.
  select * into v_device from public.devices d
   where (
       (d.fingerprint_hash = p_fingerprint_hash and d.first_user_id is null)
       -- Apart, as each of the two has an index of its own.
       or (d.fingerprint_hash = p_fingerprint_hash and d.first_user_id is not null and p_user_id is null)
     )
     and (
       (d.id = (p_token ->> 'id')::uuid and d.token_version = (p_token ->> 'version')::integer)
       or d.secret_hash = p_secret_hash
     )
   order by d.id = (p_token ->> 'id')::uuid desc nulls last, d.last_registered_at desc, d.id
   limit 1;
  if found or p_user_id is not null then
    return v_device;
  end if;

  select * into v_device from public.devices d
   where d.fingerprint_hash = p_fingerprint_hash and d.first_user_id is null
     and (d.secret_hash is null) = (p_secret_hash is null);
  if v_device.secret_hash is not null then
    raise sqlstate 'PT403' using message = 'DEVICE_SECRET_INVALID';
  end if;
  return v_device;
end
$$;
comment on function private.find_device(bytea, uuid, bytea, jsonb) is
  'Returns the device of a fingerprint that whoever registers may have: the person''s own, the one whose token {id, version} or secret they show, or the anonymous one; nulls where it is a new one. Raises DEVICE_SECRET_INVALID.';

-- Names come from clients, and each is a row of every summary: only so many of a subject and day are kept apart.
create or replace function private.fold_names(p_events public.usage_events[])
returns public.usage_events[]
language plpgsql volatile set search_path = '' set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_event public.usage_events;
  v_position integer;
  v_is_full boolean;
begin
  -- Nearly always: no name is new.
  if cardinality(p_events) = 1 then
    v_event := p_events[1];
    perform from private.rollup_names n
      where n.subject_id = v_event.subject_id and n.day = (v_event.occurred_at at time zone 'UTC')::date
        and n.provider = v_event.provider and n.model = v_event.model;
    if found then
      return p_events;
    end if;
  elsif not exists (
    select from unnest(p_events) e
     where (
       select true from private.rollup_names n
        where n.subject_id = e.subject_id and n.day = (e.occurred_at at time zone 'UTC')::date
          and n.provider = e.provider and n.model = e.model limit 1
     ) is null
  ) then
    return p_events;
  end if;

  -- One at a time for a subject and day: whoever was here before has left its names.
  perform pg_advisory_xact_lock(hashtextextended('rollup_names ' || s.subject_id || s.day, 0))
    from (
      select distinct e.subject_id, (e.occurred_at at time zone 'UTC')::date as day
        from unnest(p_events) e
       where (
         select true from private.rollup_names n
          where n.subject_id = e.subject_id and n.day = (e.occurred_at at time zone 'UTC')::date
            and n.provider = e.provider and n.model = e.model limit 1
       ) is null
       order by 1, 2
    ) s;
  with fresh as (
    select e.subject_id, (e.occurred_at at time zone 'UTC')::date as day, e.provider, e.model,
           row_number() over (
             partition by e.subject_id, (e.occurred_at at time zone 'UTC')::date order by min(e.ordinality)
           ) as nth
      from unnest(p_events) with ordinality as e
     where (
       select true from private.rollup_names n
        where n.subject_id = e.subject_id and n.day = (e.occurred_at at time zone 'UTC')::date
          and n.provider = e.provider and n.model = e.model limit 1
     ) is null
     group by 1, 2, 3, 4
  ), judged as (
    select f.*, f.nth + (
             select count(*) from private.rollup_names n where n.subject_id = f.subject_id and n.day = f.day
           ) <= private.rollup_name_limit() as fits
      from fresh f
  ), noted as (
    insert into private.rollup_names (subject_id, day, provider, model)
    select j.subject_id, j.day, j.provider, j.model from judged j where j.fits
  )
  select not bool_and(j.fits) into v_is_full from judged j;

  if v_is_full then
    for v_position in 1 .. cardinality(p_events) loop
      p_events[v_position] := private.rolled_up_as(p_events[v_position]);
    end loop;
  end if;
  return p_events;
end
$$;
comment on function private.fold_names(public.usage_events[]) is
  'Notes the providers and models that are new for a subject and day as long as there is room, and returns the events as rolled_up_as does.';

create or replace function private.hold_usage_horizon(p_items jsonb, p_retention_months integer)
returns timestamptz
language plpgsql volatile set search_path = '' set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_horizon timestamptz := date_trunc('month', now(), 'UTC');
  v_oldest constant timestamptz := timestamptz 'epoch' + interval '1 millisecond' * (
    select min((i ->> 'timestamp_ms')::bigint) from jsonb_array_elements(p_items) i
  );
begin
  -- Nearly always: the running month is always kept.
  if v_oldest >= v_horizon then
    return v_horizon;
  end if;
  v_horizon := private.usage_horizon(p_retention_months);
  if v_oldest < v_horizon then
    -- No month is dropped meanwhile, so that none is brought back. What is not dropped yet still takes events, as the
    -- rollups of a month are proved from them as long as it is there.
    perform pg_advisory_xact_lock_shared(hashtext('public.maintain'));
    select least(private.usage_horizon(p_retention_months), min(p.lower_bound)) into v_horizon
      from private.usage_partitions() p;
  end if;
  return v_horizon;
end
$$;
comment on function private.hold_usage_horizon(jsonb, integer) is
  'Returns from when on these observed uses are kept as events; where one is older, no month is dropped until the transaction ends.';

-- A deletion under way ends first; one that starts later waits for this transaction, so nothing is added behind its back.
create or replace function private.hold_users(p_items jsonb)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  -- As an array, by which users are looked up: a join with JSON would read all of them.
  v_users uuid[] := array(select (i ->> 'id')::uuid from jsonb_array_elements(p_items) i);
begin
  perform from public.users u where u.id = any (v_users) order by u.id for key share;
end
$$;
comment on function private.hold_users(jsonb) is
  'Keeps the accounts of these callers, where they are still there, until the transaction ends.';

create or replace function private.idempotency_key_hash(p_key text)
returns uuid
language plpgsql immutable set search_path = ''
as $$
begin
  if length(p_key) not between 1 and 255 then
    raise exception 'an idempotency key has 1 to 255 characters' using errcode = '22023';
  end if;
  return encode(substr(sha256(convert_to(p_key, 'UTF8')), 1, 16), 'hex')::uuid;
end
$$;
comment on function private.idempotency_key_hash(text) is
  'Returns an idempotency key as it is stored, the first 128 bits of its SHA-256; null for none.';

-- The id of what was debited with a key follows from the key and the time (RFC 9562, version 8), so that the key need not
-- remember it. With the time, as the same key may be used again once it is forgotten.
create or replace function private.keyed_event_id(p_subject_id uuid, p_key_hash uuid, p_at timestamptz)
returns uuid
language plpgsql immutable set search_path = ''
as $$
begin
  return overlay(overlay(
    encode(substr(sha256(uuid_send(p_subject_id) || uuid_send(p_key_hash) || timestamptz_send(p_at)), 1, 16), 'hex')
    placing '8' from 13) placing '8' from 17)::uuid;
end
$$;
comment on function private.keyed_event_id(uuid, uuid, timestamptz) is
  'Returns the id of the event that a device''s debit with an idempotency key made at a time.';

create or replace function private.lock_tracker_counters(p_users uuid[])
returns void
language plpgsql volatile set search_path = '' set plan_cache_mode = 'force_generic_plan'
as $$
begin
  -- Counters are made and then locked, both in id order, so concurrent calls cannot deadlock.
  if exists (
    select from unnest(p_users) as u(id)
     where (select true from public.tracker_counters c where c.user_id = u.id limit 1) is null
  ) then
    insert into public.tracker_counters (user_id)
    select u.id from public.users u where u.id = any (p_users) order by u.id
    on conflict (user_id) do nothing;
  end if;
  perform from public.tracker_counters c where c.user_id = any (p_users) order by c.user_id for update;
end
$$;
comment on function private.lock_tracker_counters(uuid[]) is
  'Locks the counters of accounts, and makes them where an account has none yet.';

create or replace function private.open_device_balance(p_device_id uuid, p_is_written boolean)
returns public.balances
language plpgsql volatile set search_path = ''
as $$
declare
  v_balance public.balances;
begin
  if p_is_written then
    select b.* into v_balance from public.balances b where b.subject_id = p_device_id for update;
  else
    select b.* into v_balance from public.balances b where b.subject_id = p_device_id;
  end if;
  -- What expired holds keep is free again, also for those who only ask.
  if v_balance.reserved > 0 and exists (
    select from public.reservations r
     where r.subject_id = p_device_id and r.status = 'held' and r.expires_at <= now()
  ) then
    perform from public.balances b where b.subject_id = p_device_id for update;
    perform private.expire_reservations(array[p_device_id]);
    select b.* into v_balance from public.balances b where b.subject_id = p_device_id;
  end if;
  return v_balance;
end
$$;
comment on function private.open_device_balance(uuid, boolean) is
  'Returns a device''s balance, locked where it is to be written, once its expired holds are given back.';

-- Whatever makes tokens available, a grant or a hold that ends, pays the debt first.
create or replace function private.pay_debt()
returns trigger
language plpgsql set search_path = ''
as $$
declare
  -- What will be remaining is worked out after this trigger.
  v_paid bigint := greatest(least(new.debt, new.allocated - new.used - new.reserved), 0);
begin
  new.debt := new.debt - v_paid;
  new.used := new.used + v_paid;
  return new;
end
$$;
comment on function private.pay_debt() is 'Trigger: pays a balance''s debt from what is available.';

-- A page's address without what may be secret in it: name and password, query, fragment. Browsers take a backslash for
-- a slash, and any number of them after the scheme.
create or replace function private.plain_url(p_url text)
returns text
language plpgsql immutable set search_path = ''
as $$
begin
  return nullif(
    regexp_replace(
      regexp_replace(p_url, '[?#].*$', ''), '^(\s*(?:[a-zA-Z][a-zA-Z0-9+.-]*:)?[/\\]*)[^/\\]*@', '\1'
    ), ''
  );
end
$$;
comment on function private.plain_url(text) is 'Returns an address without user name, password, query and fragment; null for none.';

create or replace function private.record_usage_events(p_events public.usage_events[])
returns void
language plpgsql volatile set search_path = '' set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_event public.usage_events;
begin
  if cardinality(p_events) = 1 then
    v_event := p_events[1];
    perform private.ensure_usage_partition(v_event.occurred_at);
    insert into public.usage_events values (v_event.*);
  else
    perform private.ensure_usage_partitions(p_events);
    insert into public.usage_events select e.* from unnest(p_events) e;
  end if;
  perform private.roll_up_usage(p_events);
end
$$;
comment on function private.record_usage_events(public.usage_events[]) is
  'Inserts usage events and adds them to the quarter-hour rollups and totals.';

create or replace function private.remember_answer(
  p_subject_id uuid, p_key_hash uuid, p_request_hash bigint, p_answer jsonb
)
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  insert into private.idempotency_keys (subject_id, key, request_hash, answer)
  values (p_subject_id, p_key_hash, p_request_hash, p_answer);
end
$$;
comment on function private.remember_answer(uuid, uuid, bigint, jsonb) is
  'Keeps the answer to a write that carried an idempotency key; nothing is kept of one that took no effect.';

-- The caller holds a lock that serialises calls with this key.
create or replace function private.replayed_answer(p_subject_id uuid, p_key_hash uuid, p_request_hash bigint)
returns jsonb
language plpgsql stable set search_path = ''
as $$
declare
  v_earlier private.idempotency_keys;
begin
  select k.* into v_earlier
    from private.idempotency_keys k where k.subject_id = p_subject_id and k.key = p_key_hash;
  if not found then
    return null;
  elsif v_earlier.request_hash <> p_request_hash then
    return '{"code": "IDEMPOTENCY_MISMATCH"}';
  elsif v_earlier.answer is not null then
    return v_earlier.answer;
  end if;
  return jsonb_build_object(
    'event_id', private.keyed_event_id(p_subject_id, p_key_hash, v_earlier.created_at),
    'tokens_used', v_earlier.tokens_used, 'remaining', v_earlier.remaining
  );
end
$$;
comment on function private.replayed_answer(uuid, uuid, bigint) is
  'Returns the answer given to this idempotency key before, {code: IDEMPOTENCY_MISMATCH} for another request, null where the key is new.';

create or replace function private.request_hash(p_request jsonb)
returns bigint
language plpgsql immutable set search_path = ''
as $$
begin
  return ('x' || encode(substr(sha256(convert_to(p_request::text, 'UTF8')), 1, 8), 'hex'))::bit(64)::bigint;
end
$$;
comment on function private.request_hash(jsonb) is
  'Returns what an idempotency key remembers of a request: the first 64 bits of the SHA-256 of its text.';

create or replace function private.roll_up_usage(p_events public.usage_events[])
returns void
language plpgsql volatile set search_path = '' set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_event public.usage_events;
  v_bucket timestamptz;
  v_shard constant smallint := pg_backend_pid() % 8;
  v_total public.usage_totals;
begin
  p_events := private.fold_names(p_events);
  -- One event is nearly all there is where few people are about, and is written with a third of the work.
  if cardinality(p_events) = 1 then
    v_event := p_events[1];
    v_bucket := date_bin('15 minutes', v_event.occurred_at, 'epoch');
    perform private.add_to_rollup(row(
      v_event.subject_id, v_bucket, v_event.provider, v_event.model, v_event.source, 1, v_event.prompt_count,
      v_event.input_tokens, v_event.output_tokens, v_event.total_tokens, v_event.cost, coalesce(v_event.nano_usd, 0)
    )::public.usage_rollups);
    perform private.add_to_total(row(
      v_bucket, v_shard, 1, v_event.prompt_count, v_event.input_tokens, v_event.output_tokens, v_event.total_tokens,
      v_event.cost, coalesce(v_event.nano_usd, 0)
    )::public.usage_totals);
    return;
  end if;
  insert into public.usage_rollups as r
  select e.subject_id, date_bin('15 minutes', e.occurred_at, 'epoch'), e.provider, e.model, e.source,
         count(*), sum(e.prompt_count), sum(e.input_tokens), sum(e.output_tokens), sum(e.total_tokens), sum(e.cost),
         coalesce(sum(e.nano_usd), 0)
    from unnest(p_events) e
   group by 1, 2, 3, 4, 5
   order by 1, 2, 3, 4, 5
  on conflict (subject_id, bucket, provider, model, source) do update
    set events = r.events + excluded.events,
        prompts = r.prompts + excluded.prompts,
        input_tokens = r.input_tokens + excluded.input_tokens,
        output_tokens = r.output_tokens + excluded.output_tokens,
        total_tokens = r.total_tokens + excluded.total_tokens,
        cost = r.cost + excluded.cost,
        nano_usd = r.nano_usd + excluded.nano_usd;
  for v_total in
    select date_bin('15 minutes', e.occurred_at, 'epoch'), v_shard,
           count(*), sum(e.prompt_count), sum(e.input_tokens), sum(e.output_tokens), sum(e.total_tokens), sum(e.cost),
           coalesce(sum(e.nano_usd), 0)
      from unnest(p_events) e
     group by 1
     order by 1
  loop
    perform private.add_to_total(v_total);
  end loop;
end
$$;
comment on function private.roll_up_usage(public.usage_events[]) is 'Adds events to the quarter-hour rollups and totals.';

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
    select least(v_change, b.remaining) into strict v_taken
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

-- An observed event is told from others by what it says, so that the same one sent twice has the same id. The id begins
-- with its time (RFC 9562, version 8), so that it says where the event is kept.
create or replace function private.usage_event_id(p_user_id uuid, p_timestamp_ms bigint, p_content jsonb)
returns uuid
language plpgsql immutable set search_path = ''
as $$
declare
  v_hex constant text := encode(sha256(convert_to(p_user_id || p_content::text, 'UTF8')), 'hex');
begin
  return (
    lpad(to_hex(p_timestamp_ms), 12, '0') || '8' || substr(v_hex, 1, 3) || '8' || substr(v_hex, 4, 15)
  )::uuid;
end
$$;
comment on function private.usage_event_id(uuid, bigint, jsonb) is
  'Returns the id of an observed event: 48 bits of its time in milliseconds, then 72 bits of the SHA-256 of its user and content.';

-- Where retention begins to drop: nothing older is kept as an event. Nor is anything for a month that was dropped once, though
-- retention may have been made longer since: its rollups stayed, and could not be proved from the events any more.
create or replace function private.usage_horizon(p_retention_months integer)
returns timestamptz
language plpgsql stable set search_path = ''
as $$
begin
  return (
    select greatest(
             (date_trunc('month', now() at time zone 'UTC') - make_interval(months => p_retention_months))
               at time zone 'UTC',
             (date_trunc('month', dropped.latest at time zone 'UTC') + interval '1 month') at time zone 'UTC'
           )
      from (
        select max(t.bucket) as latest from public.usage_totals t
         where t.bucket < (select min(p.lower_bound) from private.usage_partitions() p)
      ) dropped
  );
end
$$;
comment on function private.usage_horizon(integer) is
  'Returns the start of the oldest month that events are kept for: what is kept, and was never dropped.';

create or replace function private.user_json(p_user public.users)
returns jsonb
language sql stable set search_path = ''
as $$
  select jsonb_build_object(
    'id', p_user.id, 'email', p_user.email, 'name', p_user.name, 'picture', p_user.picture,
    'total_tokens', coalesce(b.allocated, 0), 'tokens_used', coalesce(b.used, 0),
    'tokens_left', coalesce(b.remaining, 0),
    'created_at', p_user.created_at, 'updated_at', p_user.updated_at
  ) from (select 1) one left join public.balances b on b.subject_id = p_user.id
$$;
comment on function private.user_json(public.users) is 'Returns an account with its balance as contract 4 shows it.';

-- Lock order everywhere: the pool, then balances in id order.
create or replace function public.allocate(
  p_actor jsonb, p_kind text, p_subject_id uuid, p_tokens bigint, p_from_id uuid default null, p_key text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes balances, pools and the ledger, which no API role may.
declare
  v_actor text := private.require_admin(p_actor);
  v_request jsonb := jsonb_build_array('allocate', p_kind, p_subject_id, p_tokens, p_from_id);
  v_subjects uuid[] := array_remove(array[p_subject_id, p_from_id], null);
  v_pool public.budgets;
  v_reference text := gen_random_uuid()::text;
  v_before jsonb;
  v_answer jsonb;
begin
  if p_from_id = p_subject_id then
    raise sqlstate 'PT400' using message = 'SELF_TRANSFER';
  end if;
  select * into strict v_pool from public.budgets where subject_kind = p_kind for update;
  v_answer := private.earlier_answer((p_actor ->> 'id')::uuid, p_key, v_request);
  if v_answer is not null then
    return v_answer;
  end if;
  perform from public.balances b where b.subject_id = any (v_subjects) order by b.subject_id for update;
  perform private.require_subject(p_kind, s) from unnest(v_subjects) as s;
  perform private.expire_reservations(v_subjects);
  v_before := jsonb_build_object('to', private.balance_json(p_subject_id), 'from', private.balance_json(p_from_id));

  if p_from_id is null then
    if v_pool.allocated + p_tokens > v_pool.total and p_tokens > 0 then
      raise sqlstate 'PT403' using message = 'BUDGET_EXCEEDED', detail = jsonb_build_object(
        'requested', p_tokens, 'remaining', greatest(v_pool.total - v_pool.allocated, 0)
      )::text;
    end if;
    perform private.change_allocation(
      p_subject_id, p_tokens, case when p_tokens > 0 then 'grant' else 'adjustment' end, v_actor, null
    );
    update public.budgets set allocated = allocated + p_tokens, updated_at = now() where subject_kind = p_kind;
  else
    perform private.change_allocation(p_from_id, -p_tokens, 'transfer', v_actor, v_reference);
    perform private.change_allocation(p_subject_id, p_tokens, 'transfer', v_actor, v_reference);
  end if;

  v_answer := private.balance_json(p_subject_id) || jsonb_build_object('from', private.balance_json(p_from_id));
  perform private.audit_admin(
    p_actor, case when p_from_id is null then 'allocate' else 'transfer' end,
    p_kind || ':' || p_subject_id, v_before,
    jsonb_build_object('to', private.balance_json(p_subject_id), 'from', private.balance_json(p_from_id))
  );
  if p_key is not null then
    perform private.remember_answer(
      (p_actor ->> 'id')::uuid, private.idempotency_key_hash(p_key), private.request_hash(v_request), v_answer
    );
  end if;
  return v_answer;
end
$$;
grant execute on function public.allocate(jsonb, text, uuid, bigint, uuid, text) to service_role;
comment on function public.allocate(jsonb, text, uuid, bigint, uuid, text) is
  'Gives tokens from the pool, takes unused ones back (negative), or moves them between two subjects. Returns the balance, with from for a transfer; raises BUDGET_EXCEEDED, INSUFFICIENT_TOKENS, SELF_TRANSFER, …_NOT_FOUND, IDEMPOTENCY_MISMATCH.';

create or replace function public.changed_states(p_listeners jsonb)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: asks for sessions and keys, and reads what belongs to many people.
begin
  return (
    select coalesce(jsonb_agg(
             jsonb_build_object(
               'position', l.ord - 1, 'live', l.live, 'version', coalesce(s.version, 0),
               'allocated', coalesce(b.allocated, 0), 'used', coalesce(b.used, 0), 'reserved', coalesce(b.reserved, 0)
             )
           ), '[]')
      from (
        select r.*, private.credential_problem(r.id, r.session_id, r.api_key_id, 'settings') is null as live
          from rows from (
            jsonb_to_recordset(p_listeners) as (
              id uuid, session_id uuid, api_key_id uuid, version bigint, allocated bigint, used bigint, reserved bigint
            )
          ) with ordinality as r(id, session_id, api_key_id, version, allocated, used, reserved, ord)
      ) l
      -- A look-up for each: a join with JSON would read whole tables.
      left join lateral (select s.version from public.settings s where s.user_id = l.id limit 1) s on true
      left join lateral (
        select b.allocated, b.used, b.reserved from public.balances b where b.subject_id = l.id limit 1
      ) b on true
     where not l.live
        or (coalesce(s.version, 0), coalesce(b.allocated, 0), coalesce(b.used, 0), coalesce(b.reserved, 0))
          is distinct from (l.version, l.allocated, l.used, l.reserved)
  );
end
$$;
grant execute on function public.changed_states(jsonb) to service_role;
comment on function public.changed_states(jsonb) is
  'Returns which of an array of listeners {id, session_id | api_key_id, version, allocated, used, reserved} know another state than the present one, or may listen no longer: [{position, live, version, allocated, used, reserved}].';

create or replace function public.list_account_devices(p_actor jsonb, p_user_id uuid)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: reads everybody's devices, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  perform private.account_json(p_user_id);
  return (
    select coalesce(jsonb_agg(to_jsonb(page) order by page.created_at desc, page.id desc), '[]')
      from (
        select d.id, d.name, d.blocked, d.registrations, d.last_registered_at, d.created_at,
               b.allocated, b.used, b.remaining
          from public.devices d join public.balances b on b.subject_id = d.id
         where d.user_id = p_user_id and d.deleted_at is null
         order by d.created_at desc, d.id desc
         limit 200
      ) page
  );
end
$$;
grant execute on function public.list_account_devices(jsonb, uuid) to service_role;
comment on function public.list_account_devices(jsonb, uuid) is
  'Returns the devices of an account with their balances, newest first, 200 at most; raises USER_NOT_FOUND.';

-- Safe to run at any moment, by any number of servers at once.
create or replace function public.maintain(p_monthly_tokens bigint default null, p_retention_months integer default null)
returns jsonb
language plpgsql volatile security definer set search_path = '' set statement_timeout = '15min'
as $$
-- Definer: expires holds, resets periods, prunes keys and drops partitions, which no API role may.
declare
  v_subjects uuid[];
  v_lost integer := 0;
  v_keys bigint;
  v_ended integer;
  v_dropped integer := 0;
  v_features integer := 0;
  v_reset boolean := false;
begin
  -- One server at a time is enough; the others have nothing left to do.
  if not pg_try_advisory_xact_lock(hashtext('public.maintain')) then
    return jsonb_build_object('ran', false);
  end if;

  perform private.ensure_usage_partition(now() + make_interval(months => n)) from generate_series(0, 3) as n;
  if p_monthly_tokens is not null then
    v_reset := private.reset_when_due(p_monthly_tokens);
  end if;

  select array_agg(distinct r.subject_id) into v_subjects
    from (
      select subject_id from public.reservations
       where status = 'held' and expires_at <= now() order by expires_at limit 1000
    ) r;
  if v_subjects is not null then
    perform from public.balances b where b.subject_id = any (v_subjects) order by b.subject_id for update;
    perform private.expire_reservations(v_subjects);
    v_lost := private.settle_lost_generations(v_subjects, now());
  end if;

  with pruned as (
    delete from private.idempotency_keys k
     where date_bin('1 hour', k.created_at, 'epoch') < date_bin('1 hour', now() - interval '48 hours', 'epoch') returning 1
  )
  select count(*) into v_keys from pruned;
  delete from private.login_attempts where window_ends_at < now();
  delete from private.known_addresses where last_login_at < now() - interval '180 days';
  v_ended := private.prune_accounts();

  if p_retention_months is not null then
    v_dropped := private.drop_old_usage(private.usage_horizon(p_retention_months));
    v_features := private.prune_features(p_retention_months);
  end if;
  return jsonb_build_object(
    'ran', true, 'reset', v_reset, 'expired_subjects', coalesce(cardinality(v_subjects), 0),
    'lost_generations', v_lost, 'pruned_keys', v_keys,
    'ended_credentials', v_ended, 'dropped_months', v_dropped, 'pruned_features', v_features
  );
end
$$;
grant execute on function public.maintain(bigint, integer) to service_role;
comment on function public.maintain(bigint, integer) is
  'Creates partitions ahead, expires holds, settles chat requests whose server went away, prunes idempotency keys, log-in counters and credentials that have ended; with p_monthly_tokens resets at the month''s start, with p_retention_months drops older events. Returns what it did, ran false where another one is at it.';

create or replace function public.meter_chat(p_items jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: the only writer of generations; no API role may write balances, holds or events itself.
declare
  v_item record;
  v_weight public.model_weights;
  v_available bigint;
  v_amount bigint;
  v_least bigint;
  v_generation public.generations;
  v_balance public.balances;
  v_status text;
  v_problem text;
  v_output bigint;
  v_subjects uuid[];
  v_answer jsonb;
  v_answers jsonb[] := '{}';
  v_events public.usage_events[] := '{}';
  v_has_pool boolean;
begin
  select array_agg(distinct s.subject_id), coalesce(bool_or(s.is_closed), false) into v_subjects, v_has_pool
    from (
      select coalesce(g.subject_id, i.id, e.user_id) as subject_id,
             i.op = 'settle' and g.provenance = 'estimated' as is_closed
        from jsonb_to_recordset(p_items) as i(op text, id uuid, google_subject text, hold uuid)
        -- One look-up by key an item: a join with JSON is planned as if it had a hundred rows, and reads whole tables.
        left join lateral (
          select g.subject_id, g.provenance from public.generations g where g.id = i.hold and i.op <> 'reserve' limit 1
        ) g on true
        left join lateral (
          select e.user_id from private.external_identities e
           where e.provider = 'google' and e.subject = i.google_subject limit 1
        ) e on true
    ) s;
  -- What was given up for lost is corrected, which takes the pool, and the pool comes before the balances.
  if v_has_pool then
    perform from public.budgets where subject_kind = 'user' for update;
  end if;
  perform from public.balances b where b.subject_id = any (v_subjects) order by b.subject_id for update;
  if exists (
    select from public.reservations r
     where r.subject_id = any (v_subjects) and r.status = 'held' and r.expires_at <= now()
  ) then
    -- A server that comes back late knows better what its stream came to than the hold does.
    perform private.settle_lost_generations(
      v_subjects, now(), array(select (i ->> 'hold')::uuid from jsonb_array_elements(p_items) i)
    );
  end if;

  for v_item in
    select i.*, coalesce(i.id, e.user_id) as user_id
      from rows from (
        jsonb_to_recordset(p_items) as (
          op text, id uuid, session_id uuid, api_key_id uuid, google_subject text, hold uuid, source text, model text,
          input_estimate bigint, output_tokens bigint, idempotency_key text, request_hash text, provider text,
          upstream_id text, provenance text, input_tokens bigint, streamed boolean, input_seen bigint,
          output_seen bigint, input_floor bigint, output_floor bigint, nano_usd bigint, input_price numeric,
          output_price numeric, request_price numeric
        )
      ) with ordinality as i(
        op, id, session_id, api_key_id, google_subject, hold, source, model, input_estimate, output_tokens,
        idempotency_key, request_hash, provider, upstream_id, provenance, input_tokens, streamed, input_seen,
        output_seen, input_floor, output_floor, nano_usd, input_price, output_price, request_price, ord
      )
      left join lateral (
        select e.user_id from private.external_identities e
         where e.provider = 'google' and e.subject = i.google_subject limit 1
      ) e on true
     order by i.ord
  loop
    v_answer := null;
    if v_item.op = 'reserve' then
      select b.* into v_balance from public.balances b where b.subject_id = v_item.user_id;
      v_problem := private.credential_problem(v_item.user_id, v_item.session_id, v_item.api_key_id, 'chat');
      v_available := v_balance.remaining;
      v_weight := private.find_model_weight(v_item.model);
      v_generation := null;
      v_generation.input_weight := coalesce(v_weight.input_weight, 1);
      v_generation.output_weight := coalesce(v_weight.output_weight, 1);
      v_output := private.affordable_tokens(
        v_item.output_tokens, v_available - v_item.input_estimate * v_generation.input_weight, v_generation.output_weight
      );
      v_amount := private.weighted_tokens(v_generation, v_item.input_estimate, v_output);
      -- Some answers, such as embeddings, have no tokens; all others have one at least.
      v_least := private.weighted_tokens(v_generation, v_item.input_estimate, least(v_item.output_tokens, 1));
      v_answer := case
        when v_item.google_subject is not null and v_item.user_id is null then '{"code": "USER_NOT_FOUND"}'
        when v_balance.subject_id is null then '{"code": "INVALID_TOKEN"}'
        when v_problem is not null then jsonb_build_object('code', v_problem)
        when v_available < v_least then jsonb_build_object(
          'code', 'INSUFFICIENT_TOKENS', 'requested', v_least, 'remaining', v_available
        )
      end;
      if v_answer is null and v_item.idempotency_key is not null then
        insert into private.idempotency_keys (subject_id, key, request_hash, answer)
        values (
          v_item.user_id, private.idempotency_key_hash(v_item.idempotency_key),
          ('x' || left(v_item.request_hash, 16))::bit(64)::bigint, jsonb_build_object('hold', v_item.hold)
        )
        on conflict (subject_id, key) do nothing;
        if not found then
          -- The answer was not kept, so it cannot be given again; it must not be paid for again either.
          select jsonb_build_object('code', case
                   when k.request_hash = ('x' || left(v_item.request_hash, 16))::bit(64)::bigint then 'ALREADY_ANSWERED'
                   else 'IDEMPOTENCY_MISMATCH'
                 end)
            into strict v_answer
            from private.idempotency_keys k
           where k.subject_id = v_item.user_id
             and k.key = private.idempotency_key_hash(v_item.idempotency_key);
        end if;
      end if;
      if v_answer is null then
        update public.balances b
           set reserved = b.reserved + v_amount, updated_at = now()
         where b.subject_id = v_item.user_id and b.remaining >= v_amount
        returning b.* into strict v_balance;
        insert into public.reservations (id, subject_id, amount, model, prompt_count, expires_at)
        values (
          v_item.hold, v_item.user_id, v_amount, v_item.model, 1, now() + interval '5 minutes'
        );
        -- With its weights and prices, which hold for all of the request, whatever becomes of the model's.
        insert into public.generations (
          id, subject_id, source, model, input_estimate, streamed, input_weight, output_weight, input_price,
          output_price, request_price
        )
        values (
          v_item.hold, v_item.user_id, v_item.source, v_item.model, v_item.input_estimate,
          coalesce(v_item.streamed, false), v_generation.input_weight, v_generation.output_weight,
          v_item.input_price, v_item.output_price, v_item.request_price
        );
        v_answer := jsonb_build_object(
          'output_tokens', v_output, 'remaining', v_balance.remaining
        );
      end if;
    else
      select g.* into v_generation from public.generations g where g.id = v_item.hold;
      select r.status into v_status from public.reservations r where r.id = v_item.hold;
      select b.* into v_balance from public.balances b where b.subject_id = v_generation.subject_id;
      v_generation.provider := coalesce(v_item.provider, v_generation.provider);
      v_generation.upstream_id := coalesce(v_item.upstream_id, v_generation.upstream_id);
      v_generation.input_floor := coalesce(v_item.input_floor, v_generation.input_floor);
      v_generation.output_floor := coalesce(v_item.output_floor, v_generation.output_floor);
      if v_status is null then
        v_answer := '{"code": "RESERVATION_NOT_FOUND"}';
      elsif v_item.op = 'extend' and v_status <> 'held' then
        v_answer := '{"code": "RESERVATION_SETTLED"}';
      elsif v_item.op = 'extend' then
        -- Also with nothing to add: a running stream says that it is still there, and how far it has come.
        v_output := case
          when exists (
            select from public.users u where u.id = v_generation.subject_id and u.suspended_at is not null
          ) then 0
          else private.affordable_tokens(
            v_item.output_tokens, v_balance.remaining, v_generation.output_weight
          )
        end;
        v_amount := private.weighted_tokens(v_generation, 0, v_output);
        update public.balances b
           set reserved = b.reserved + v_amount, updated_at = now()
         where b.subject_id = v_generation.subject_id and v_output > 0;
        -- Not at every note, as its expiry is in two indexes.
        update public.reservations r
           set amount = r.amount + v_amount, expires_at = now() + interval '5 minutes'
         where r.id = v_item.hold and (v_output > 0 or r.expires_at < now() + interval '4 minutes');
        update public.generations g
           set provider = v_generation.provider, upstream_id = v_generation.upstream_id,
               input_seen = coalesce(v_item.input_seen, g.input_seen),
               output_seen = coalesce(v_item.output_seen, g.output_seen),
               input_floor = v_generation.input_floor, output_floor = v_generation.output_floor
         where g.id = v_item.hold;
        v_answer := jsonb_build_object('output_tokens', v_output);
      elsif v_item.op = 'settle' then
        -- Only the first settlement counts: one that is sent again finds the hold closed.
        if v_status = 'held' and v_item.input_tokens + v_item.output_tokens > 0 then
          v_events := v_events || private.close_generation(
            v_generation, 'settled', v_item.provenance, v_item.input_tokens, v_item.output_tokens, v_item.nano_usd
          );
        elsif v_status = 'held' then
          -- What was not billed may be asked for again with the same key.
          delete from private.idempotency_keys k
           where k.subject_id = v_generation.subject_id and k.answer = jsonb_build_object('hold', v_item.hold);
          perform private.close_generation(v_generation, 'released', null, 0, 0);
        elsif v_status = 'lost' and v_generation.provenance = 'estimated'
          and exists (select from public.users u where u.id = v_generation.subject_id) then
          -- A server that was out of reach for long knows what its stream came to; the hold was only an estimate of it.
          if not v_has_pool then
            raise sqlstate '40001' using message = 'a hold was given up for lost at the same time';
          end if;
          v_generation.reconcile_at := case
            when v_item.provenance = 'estimated' and v_generation.upstream_id is not null then now()
          end;
          perform private.change_settlement(
            v_generation, v_item.provenance, v_item.input_tokens, v_item.output_tokens, v_item.nano_usd,
            'system:late_settlement'
          );
          update public.reservations r set status = 'settled' where r.id = v_item.hold;
        end if;
        select jsonb_build_object(
                 'tokens_used', private.weighted_tokens(g, g.input_tokens, g.output_tokens), 'remaining', b.remaining
               )
          into strict v_answer
          from public.generations g join public.balances b on b.subject_id = g.subject_id
         where g.id = v_item.hold;
      else
        raise exception 'unknown metering operation %', v_item.op using errcode = '22023';
      end if;
    end if;
    v_answers := v_answers || v_answer;
  end loop;

  if cardinality(v_events) > 0 then
    perform private.record_usage_events(v_events);
  end if;
  return to_jsonb(v_answers);
end
$$;
grant execute on function public.meter_chat(jsonb) to service_role;
comment on function public.meter_chat(jsonb) is
  'Takes, extends and settles holds of chat requests in one transaction. Takes an array of {op: reserve, id, session_id | api_key_id or google_subject, hold, source, model, streamed, input_estimate, output_tokens, input_price, output_price, request_price, idempotency_key, request_hash}, {op: extend, hold, output_tokens, input_seen, output_seen, input_floor, output_floor, provider, upstream_id} and {op: settle, hold, input_tokens, output_tokens, provenance, nano_usd, input_floor, output_floor, provider, upstream_id}; returns an array in the same order: {output_tokens, remaining}, {output_tokens}, {tokens_used, remaining}, or {code, …} where the item was refused.';

-- Items are taken per device in the order given, each sees what the ones before it left, and each gets an outcome of its
-- own. Devices are locked in id order, so concurrent calls cannot deadlock. What they did is written at the end, for all
-- items at once.
create or replace function public.meter_devices(p_items jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = '' set plan_cache_mode = 'force_generic_plan' set enable_seqscan = off
as $$
-- Definer: the only writer of balances, events, rollups and holds; no API role may write them itself.
declare
  v_item record;
  v_device public.devices;
  v_balance public.balances;
  v_refusal jsonb;
  v_available bigint;
  v_reserved bigint;
  v_used bigint;
  v_key uuid;
  v_request_hash bigint;
  v_hold public.reservations;
  v_released bigint;
  v_event_id uuid;
  v_answer jsonb;
  v_answers jsonb[] := array_fill(null::jsonb, array[jsonb_array_length(p_items)]);
  v_events public.usage_events[] := '{}';
  v_holds public.reservations[] := '{}';
  v_changed uuid[] := '{}';
  v_changed_used bigint[] := '{}';
  v_changed_reserved bigint[] := '{}';
  v_settled uuid[] := '{}';
  v_settled_by uuid[] := '{}';
begin
  for v_item in
    select i.ord::integer as ord, i.op, i.device_id, i.token_version, lower(btrim(i.model)) as model, i.prompt_count,
           coalesce(i.reserve, false) as reserve, i.key, i.reservation_id,
           i.prompt_count * coalesce(
             (select c.cost from public.model_costs c where c.model = lower(btrim(i.model))),
             (select c.cost from public.model_costs c where c.model = '*'), 1
           )::bigint as cost,
           bool_or(i.op = 'debit' or i.reserve) over w as is_written,
           row_number() over w = 1 as is_first, lead(i.ord) over w is null as is_last
      from rows from (
        jsonb_to_recordset(p_items) as (
          op text, device_id uuid, token_version integer, model text, prompt_count integer,
          reserve boolean, key text, reservation_id uuid
        )
      ) with ordinality as i(op, device_id, token_version, model, prompt_count, reserve, key, reservation_id, ord)
    window w as (partition by i.device_id order by i.ord rows between unbounded preceding and unbounded following)
  loop
    if v_item.is_first then
      v_balance := private.open_device_balance(v_item.device_id, v_item.is_written);
      select d.* into v_device from public.devices d where d.id = v_item.device_id;
      v_refusal := case
        when v_device.id is null then '{"code": "INVALID_TOKEN"}'::jsonb
        when v_device.blocked then '{"code": "DEVICE_BLOCKED"}'::jsonb
        when v_device.user_id is not null and exists (
          select from public.users u where u.id = v_device.user_id and u.suspended_at is not null
        ) then '{"code": "ACCOUNT_SUSPENDED"}'::jsonb
      end;
      v_available := v_balance.remaining;
      v_reserved := v_balance.reserved;
      v_used := v_balance.used;
    end if;

    v_key := null;
    v_answer := case
      when v_device.token_version is distinct from v_item.token_version then '{"code": "INVALID_TOKEN"}'::jsonb
      else v_refusal
    end;

    -- A key seen before, in an earlier call or earlier in this one, repeats its answer.
    if v_answer is null and v_item.key is not null then
      v_key := private.idempotency_key_hash(v_item.key);
      v_request_hash := private.request_hash(
        jsonb_build_array(v_item.op, v_item.reserve, v_item.model, v_item.prompt_count, v_item.reservation_id)
      );
      v_answer := private.replayed_answer(v_device.id, v_key, v_request_hash);
    end if;

    if v_answer is not null then
      null;
    elsif v_item.op = 'balance' then
      v_answer := jsonb_build_object(
        'allocated', v_balance.allocated, 'used', v_used, 'reserved', v_reserved, 'remaining', v_available
      );
    elsif v_item.op = 'check' and v_item.reserve and v_available >= v_item.cost then
      v_hold := row(
        gen_random_uuid(), v_device.id, v_item.cost, 'held', v_item.model, v_item.prompt_count, null,
        now() + interval '10 minutes', now(), null
      )::public.reservations;
      v_holds := v_holds || v_hold;
      v_available := v_available - v_item.cost;
      v_reserved := v_reserved + v_item.cost;
      v_answer := jsonb_build_object(
        'can_use', true, 'tokens_needed', v_item.cost, 'remaining', v_available,
        'reservation_id', v_hold.id, 'expires_at', v_hold.expires_at
      );
      if v_key is not null then
        perform private.remember_answer(v_device.id, v_key, v_request_hash, v_answer);
      end if;
    elsif v_item.op = 'check' then
      v_answer := jsonb_build_object(
        'can_use', v_available >= v_item.cost, 'tokens_needed', v_item.cost, 'remaining', v_available
      );
    elsif v_item.op = 'debit' then
      v_hold := null;
      v_released := 0;
      if v_item.reservation_id is not null then
        select r.* into v_hold from public.reservations r
         where r.id = v_item.reservation_id and r.subject_id = v_device.id;
        if not found then
          v_answer := '{"code": "RESERVATION_NOT_FOUND"}';
        elsif v_hold.status = 'settled' or v_hold.id = any (v_settled) then
          v_answer := '{"code": "RESERVATION_SETTLED"}';
        elsif v_hold.status = 'held' and v_hold.expires_at > now() then
          v_released := v_hold.amount;
        else
          -- It guarantees nothing any more: its usage is debited like any other.
          v_hold := null;
        end if;
      end if;
      if v_answer is null and v_available + v_released < v_item.cost then
        v_answer := jsonb_build_object(
          'code', 'INSUFFICIENT_TOKENS', 'requested', v_item.cost, 'remaining', v_available + v_released
        );
      end if;
      if v_answer is null then
        v_event_id := case
          when v_key is null then gen_random_uuid() else private.keyed_event_id(v_device.id, v_key, now())
        end;
        v_events := v_events || row(
          v_event_id, v_device.id, v_device.user_id, v_device.id, 'device', 'unknown', v_item.model, v_item.prompt_count,
          0, 0, 0, v_item.cost, 'client_reported', v_balance.period, null, now(), now(), null
        )::public.usage_events;
        if v_hold.id is not null then
          v_settled := v_settled || v_hold.id;
          v_settled_by := v_settled_by || v_event_id;
        end if;
        v_available := v_available + v_released - v_item.cost;
        v_reserved := v_reserved - v_released;
        v_used := v_used + v_item.cost;
        v_answer := jsonb_build_object('event_id', v_event_id, 'tokens_used', v_item.cost, 'remaining', v_available);
        if v_key is not null then
          insert into private.idempotency_keys (subject_id, key, request_hash, tokens_used, remaining)
          values (v_device.id, v_key, v_request_hash, v_item.cost, v_available);
        end if;
      end if;
    else
      raise exception 'unknown metering operation %', v_item.op using errcode = '22023';
    end if;
    v_answers[v_item.ord] := v_answer;

    if v_item.is_last and (v_used, v_reserved) <> (v_balance.used, v_balance.reserved) then
      v_changed := v_changed || v_balance.subject_id;
      v_changed_used := v_changed_used || v_used;
      v_changed_reserved := v_changed_reserved || v_reserved;
    end if;
  end loop;

  if cardinality(v_changed) > 0 then
    update public.balances b set used = c.used, reserved = c.reserved, updated_at = now()
      from unnest(v_changed, v_changed_used, v_changed_reserved) as c(subject_id, used, reserved)
     where b.subject_id = c.subject_id;
  end if;
  if cardinality(v_holds) > 0 then
    insert into public.reservations select h.* from unnest(v_holds) h;
  end if;
  if cardinality(v_settled) > 0 then
    update public.reservations r
       set status = 'settled', closed_at = now(), usage_event_id = s.event_id
      from unnest(v_settled, v_settled_by) as s(id, event_id)
     where r.id = s.id;
  end if;
  if cardinality(v_events) > 0 then
    perform private.record_usage_events(v_events);
  end if;
  return to_jsonb(v_answers);
end
$$;
grant execute on function public.meter_devices(jsonb) to service_role;
comment on function public.meter_devices(jsonb) is
  'Makes balance reads, checks, holds and debits of devices in one transaction. Takes an array of {op, device_id, token_version, model, prompt_count, reserve, key, reservation_id}, returns an array of outcomes in the same order: the result, or {code, …} where the item was refused.';

create or replace function public.my_balance()
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
declare
  v_user_id uuid := public.require_current_user('usage:read');
begin
  return (
    select jsonb_build_object(
             'allocated', coalesce(b.allocated, 0), 'used', coalesce(b.used, 0), 'reserved', coalesce(b.reserved, 0),
             'remaining', coalesce(b.remaining, 0), 'debt', coalesce(b.debt, 0)
           )
      from (select 1) one left join public.balances b on b.subject_id = v_user_id
  );
end
$$;
grant execute on function public.my_balance() to authenticated;
comment on function public.my_balance() is 'Returns the caller''s balance: {allocated, used, reserved, remaining, debt}.';

create or replace function public.my_devices(p_limit integer, p_after_at text default null, p_after_id uuid default null)
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user();
begin
  return (
    select coalesce(jsonb_agg(to_jsonb(page) order by page.created_at desc, page.id desc), '[]')
      from (
        select d.id, d.name, d.blocked, d.registrations, d.last_registered_at, d.created_at,
               b.allocated, b.used, b.remaining
          from public.devices d join public.balances b on b.subject_id = d.id
         where d.user_id = v_user_id and d.deleted_at is null
           and (p_after_id is null or (d.created_at, d.id) < (p_after_at::timestamptz, p_after_id))
         order by d.created_at desc, d.id desc
         limit p_limit
      ) page
  );
exception
  -- The cursor comes from the caller.
  when data_exception then
    raise sqlstate 'PT400' using message = 'VALIDATION_FAILED';
end
$$;
grant execute on function public.my_devices(integer, text, uuid) to authenticated;
comment on function public.my_devices(integer, text, uuid) is
  'Returns the devices linked to the caller with their balances, newest first; after (time, id) to page on.';

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

-- Items are taken in the order given, and each gets an outcome of its own. What they say is written at the end, for all of
-- them at once.
create or replace function public.record_usage(p_items jsonb, p_retention_months integer)
returns jsonb
language plpgsql volatile security definer set search_path = '' set plan_cache_mode = 'force_generic_plan' set enable_seqscan = off
as $$
-- Definer: the only writer of observed events and their rollups; no API role may write them itself.
declare
  v_horizon constant timestamptz := private.hold_usage_horizon(p_items, p_retention_months);
  v_now_ms constant bigint := floor(extract(epoch from now()) * 1000);
  v_item record;
  v_at_ms bigint;
  v_event public.usage_events;
  v_content jsonb;
  v_key uuid;
  v_request_hash bigint;
  v_position integer;
  v_is_plain boolean;
  v_answer jsonb;
  v_answers jsonb[] := array_fill(null::jsonb, array[jsonb_array_length(p_items)]);
  v_ids uuid[] := array_fill(null::uuid, array[jsonb_array_length(p_items)]);
  v_events public.usage_events[] := '{}';
  -- Too old to be kept as events: only counted.
  v_counted public.usage_events[] := '{}';
  v_keys private.idempotency_keys[] := '{}';
  v_known_as text[] := '{}';
  v_new_keys integer;
  v_inserted uuid[] := '{}';
begin
  perform private.hold_users(p_items);

  for v_item in
    select i.id as user_id, i.session_id, i.api_key_id, i.provider, lower(btrim(i.model)) as model, i.input_tokens,
           i.output_tokens, i.total_tokens, i.timestamp_ms, i.url, i.key, i.ord
      from rows from (
        jsonb_to_recordset(p_items) as (
          id uuid, session_id uuid, api_key_id uuid, provider text, model text, input_tokens bigint,
          output_tokens bigint, total_tokens bigint, timestamp_ms bigint, url text, key text
        )
      ) with ordinality as i(
        id, session_id, api_key_id, provider, model, input_tokens, output_tokens, total_tokens,
        timestamp_ms, url, key, ord
      )
     order by i.ord
  loop
    v_answer := jsonb_build_object(
      'code', private.credential_problem(v_item.user_id, v_item.session_id, v_item.api_key_id, 'usage:write')
    );
    if v_answer ->> 'code' is null and v_item.total_tokens <> v_item.input_tokens + v_item.output_tokens then
      v_answer := '{"code": "TOTAL_MISMATCH"}';
    end if;
    if v_answer ->> 'code' is not null then
      v_answers[v_item.ord] := v_answer;
      continue;
    end if;

    -- The clock of whoever sent it is ahead by hours: it happened now.
    v_at_ms := case
      when v_item.timestamp_ms between v_now_ms + 300001 and v_now_ms + 86400000 then v_now_ms
      else v_item.timestamp_ms
    end;
    v_item.url := private.plain_url(v_item.url);
    v_content := jsonb_build_array(
      v_item.provider, v_item.model, v_item.timestamp_ms, v_item.input_tokens, v_item.output_tokens, v_item.url
    );

    -- What was sent before, in an earlier call or earlier in this one, repeats its answer.
    v_key := private.idempotency_key_hash(coalesce(v_item.key, private.content_key(v_content)));
    v_request_hash := private.request_hash(v_content);
    v_position := array_position(v_known_as, v_item.user_id || '' || v_key);
    v_answer := case
      when v_position is null then private.replayed_answer(v_item.user_id, v_key, v_request_hash)
      when v_keys[v_position].request_hash = v_request_hash then v_keys[v_position].answer
      else '{"code": "IDEMPOTENCY_MISMATCH"}'::jsonb
    end;
    if v_answer is null and v_at_ms > v_now_ms + 300000 then
      v_answer := '{"code": "TIMESTAMP_OUT_OF_RANGE"}';
    elsif v_answer ? 'id' then
      v_answer := v_answer || '{"recorded": true, "duplicate": true}';
    end if;
    if v_answer is not null then
      v_answers[v_item.ord] := v_answer;
      continue;
    end if;

    v_event := row(
      private.usage_event_id(
        v_item.user_id, v_at_ms,
        case when v_item.key is null then v_content else jsonb_build_array('key', v_item.key) end
      ),
      v_item.user_id, v_item.user_id, null, 'extension', v_item.provider, v_item.model, 1, v_item.input_tokens,
      v_item.output_tokens, v_item.input_tokens + v_item.output_tokens, 0, 'client_reported',
      (select b.period from public.balances b where b.subject_id = v_item.user_id), v_item.url,
      timestamptz 'epoch' + v_at_ms * interval '1 millisecond', now(), null
    )::public.usage_events;
    v_answer := jsonb_build_object('id', v_event.id);
    v_is_plain := true;
    if v_at_ms < v_item.timestamp_ms then
      v_answer := v_answer || '{"adjusted": ["timestamp"]}';
      v_is_plain := false;
    end if;
    if v_event.occurred_at < v_horizon then
      v_answer := v_answer || '{"summary_only": true}';
      v_is_plain := false;
      v_counted := v_counted || v_event;
    else
      v_events := v_events || v_event;
    end if;
    -- What has a row of its own under its own time is told from others by that, all else by what is remembered here.
    if v_is_plain then
      v_ids[v_item.ord] := v_event.id;
    else
      v_answers[v_item.ord] := v_answer || '{"recorded": true, "duplicate": false}';
    end if;
    if v_item.key is not null or not v_is_plain then
      v_keys := v_keys || row(v_item.user_id, v_key, v_request_hash, v_answer, now(), null, null)::private.idempotency_keys;
      v_known_as := v_known_as || (v_item.user_id || '' || v_key);
    end if;
  end loop;

  if cardinality(v_keys) > 0 then
    insert into private.idempotency_keys select k.* from unnest(v_keys) k order by k.subject_id, k.key
    on conflict do nothing;
    get diagnostics v_new_keys = row_count;
    -- Somebody used one of the keys meanwhile: the whole call is made again and then sees it.
    if v_new_keys < cardinality(v_keys) then
      raise sqlstate '40001' using message = 'an idempotency key was used at the same time';
    end if;
  end if;
  if cardinality(v_events) > 0 then
    v_inserted := private.record_new_usage_events(v_events);
  end if;
  if cardinality(v_counted) > 0 then
    perform private.roll_up_usage(v_counted);
  end if;

  return (
    select jsonb_agg(
             coalesce(a.answer, jsonb_build_object(
               'id', a.id, 'recorded', true, 'duplicate', a.nth > 1 or not a.id = any (v_inserted)
             )) order by a.ord
           )
      from (
        select answer, id, ord, row_number() over (partition by id order by ord) as nth
          from unnest(v_answers, v_ids) with ordinality as u(answer, id, ord)
      ) a
  );
end
$$;
grant execute on function public.record_usage(jsonb, integer) to service_role;
comment on function public.record_usage(jsonb, integer) is
  'Records what extensions observed. Takes an array of {id, session_id | api_key_id, provider, model, input_tokens, output_tokens, total_tokens, timestamp_ms, url, key}, returns an array in the same order: {id, recorded, duplicate}, with adjusted where a clock was ahead and summary_only where the event is too old to be kept, or {code} where the event was refused.';

create or replace function public.register_device(
  p_device_name text, p_fingerprint text, p_default_tokens bigint, p_caller jsonb default null,
  p_secret_hash text default null, p_token jsonb default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes devices, balances and the ledger, which no API role may write.
declare
  v_fingerprint_hash bytea := sha256(convert_to(p_fingerprint, 'UTF8'));
  v_secret_hash bytea := decode(p_secret_hash, 'hex');
  v_user_id uuid;
  v_device public.devices;
  v_is_new boolean;
  v_is_linked boolean;
  v_balance public.balances;
begin
  if p_caller is not null then
    v_user_id := private.lock_user(p_caller);
  end if;
  -- Registrations of one fingerprint wait for each other: the next one finds the device this one makes.
  perform pg_advisory_xact_lock(hashtextextended(encode(v_fingerprint_hash, 'hex'), 0));
  v_device := private.find_device(v_fingerprint_hash, v_user_id, v_secret_hash, p_token);
  v_is_new := v_device.id is null;
  v_is_linked := v_device.user_id is not null;
  if v_device.blocked then
    raise sqlstate 'PT403' using message = 'DEVICE_BLOCKED';
  end if;

  if v_is_new then
    insert into public.devices (name, fingerprint_hash, user_id, secret_hash)
    values (p_device_name, v_fingerprint_hash, v_user_id, v_secret_hash)
    returning * into v_device;
  else
    update public.devices d
       set registrations = d.registrations + 1, last_registered_at = now(),
           user_id = coalesce(v_user_id, d.user_id),
           -- A stranger may have a token of what was nobody's.
           token_version = d.token_version + case when v_user_id is not null and d.user_id is null then 1 else 0 end,
           -- Only a sign-in proves enough to replace it: a stolen token must not outlive its end.
           secret_hash = case when v_user_id is not null then coalesce(v_secret_hash, d.secret_hash) else d.secret_hash end
     where d.id = v_device.id
    returning * into v_device;
  end if;
  -- Devices that were linked before stay, also where a tier has ended.
  if v_user_id is not null and not v_is_linked then
    perform private.assert_device_room(v_user_id);
  end if;

  if v_is_new then
    v_balance := private.open_balance(v_device.id, 'device', p_default_tokens, 'system:registration');
  else
    select * into strict v_balance from public.balances where subject_id = v_device.id;
  end if;

  return jsonb_build_object(
    'device_id', v_device.id,
    'token_version', v_device.token_version,
    'created', v_is_new,
    'allocated', v_balance.allocated,
    'remaining', v_balance.remaining
  ) || case when v_user_id is null then '{}'::jsonb else '{"linked": true}' end;
end
$$;
grant execute on function public.register_device(text, text, bigint, jsonb, text, jsonb) to service_role;
comment on function public.register_device(text, text, bigint, jsonb, text, jsonb) is
  'Registers a device or finds it again by its owner and fingerprint, and links it to the caller. Takes the secret''s SHA-256 in hex, and {id, version} of a verified token of the device. Returns {device_id, token_version, created, allocated, remaining}, with a caller also linked; raises DEVICE_BLOCKED, DEVICE_SECRET_INVALID, and DEVICE_LIMIT where the caller''s tier has no room for another.';

-- Items are taken per account in the order given, each sees what the ones before it counted, and each gets an outcome of
-- its own. What they counted is written at the end, for all of them at once.
create or replace function public.track_usage(p_items jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = '' set plan_cache_mode = 'force_generic_plan' set enable_seqscan = off
as $$
-- Definer: the only writer of the counters and the events behind them; no API role may write them itself.
declare
  v_most constant bigint := 9007199254740991;
  v_today constant date := (now() at time zone 'UTC')::date;
  v_tomorrow constant integer := ceil(extract(epoch from (v_today + 1)::timestamp at time zone 'UTC' - now()));
  v_item record;
  v_account record;
  v_user_id uuid;
  v_prompts bigint;
  v_tokens bigint;
  v_day_prompts bigint;
  v_day_tokens bigint;
  v_key uuid;
  v_request_hash bigint;
  v_first_key integer := 1;
  v_position integer;
  v_answer jsonb;
  v_answers jsonb[] := '{}';
  v_events public.usage_events[] := '{}';
  v_keys private.idempotency_keys[] := '{}';
  v_key_hashes uuid[] := '{}';
begin
  perform private.lock_tracker_counters(array(select (i ->> 'user_id')::uuid from jsonb_array_elements(p_items) i));

  for v_item in
    select i.*
      from rows from (
        jsonb_to_recordset(p_items) as (
          user_id uuid, version integer, usage integer, token_count bigint, key text, most_prompts bigint, most_tokens bigint
        )
      ) with ordinality as i(user_id, version, usage, token_count, key, most_prompts, most_tokens, ord)
     order by i.user_id, i.ord
  loop
    if v_user_id is distinct from v_item.user_id then
      v_user_id := v_item.user_id;
      select c.version, u.suspended_at is not null as suspended, b.period, c.prompts, c.tokens,
             case when c.counted_on = v_today then c.day_prompts else 0 end as day_prompts,
             case when c.counted_on = v_today then c.day_tokens else 0 end as day_tokens
        into v_account
        from public.tracker_counters c
        join public.users u on u.id = c.user_id
        join public.balances b on b.subject_id = c.user_id
       where c.user_id = v_user_id;
      v_prompts := v_account.prompts;
      v_tokens := v_account.tokens;
      v_day_prompts := v_account.day_prompts;
      v_day_tokens := v_account.day_tokens;
      v_first_key := cardinality(v_keys) + 1;
    end if;

    v_key := null;
    v_answer := case
      when v_account.version is null then '{"code": "USER_NOT_FOUND"}'::jsonb
      when v_account.version is distinct from v_item.version then '{"code": "TRACKER_TOKEN_INVALID"}'::jsonb
      when v_account.suspended then '{"code": "ACCOUNT_SUSPENDED"}'::jsonb
    end;

    -- A key seen before, in an earlier call or earlier in this one, repeats its answer.
    if v_answer is null and v_item.key is not null then
      v_key := private.idempotency_key_hash(v_item.key);
      v_request_hash := private.request_hash(jsonb_build_array('track', v_item.usage, v_item.token_count));
      v_position := array_position(v_key_hashes, v_key, v_first_key);
      v_answer := case
        when v_position is null then private.replayed_answer(v_user_id, v_key, v_request_hash)
        when v_keys[v_position].request_hash = v_request_hash then v_keys[v_position].answer
        else '{"code": "IDEMPOTENCY_MISMATCH"}'::jsonb
      end;
    end if;

    if v_answer is not null then
      v_answers[v_item.ord] := v_answer;
      continue;
    end if;

    if v_item.usage > v_most - v_prompts or v_item.token_count > v_most - v_tokens then
      v_answer := '{"code": "COUNTER_FULL"}';
    elsif v_item.usage > v_item.most_prompts - v_day_prompts or v_item.token_count > v_item.most_tokens - v_day_tokens then
      v_answer := jsonb_build_object('code', 'TRACKER_DAY_LIMIT', 'retry_after', v_tomorrow);
    else
      v_prompts := v_prompts + v_item.usage;
      v_tokens := v_tokens + v_item.token_count;
      v_day_prompts := v_day_prompts + v_item.usage;
      v_day_tokens := v_day_tokens + v_item.token_count;
      v_events := v_events || row(
        gen_random_uuid(), v_user_id, v_user_id, null, 'tracker', 'unknown', 'unknown', v_item.usage,
        0, 0, v_item.token_count, 0, 'client_reported', v_account.period, null, now(), now(), null
      )::public.usage_events;
      v_answer := jsonb_build_object('prompts', v_prompts, 'tokens', v_tokens);
      -- Only what took effect is remembered: a refused item counted nothing and may be tried again.
      if v_key is not null then
        v_keys := v_keys || row(v_user_id, v_key, v_request_hash, v_answer, now(), null, null)::private.idempotency_keys;
        v_key_hashes := v_key_hashes || v_key;
      end if;
    end if;
    v_answers[v_item.ord] := v_answer;
  end loop;

  if cardinality(v_keys) > 0 then
    insert into private.idempotency_keys select k.* from unnest(v_keys) k;
  end if;
  if cardinality(v_events) > 0 then
    update public.tracker_counters c
       set prompts = c.prompts + tracked.prompts, tokens = c.tokens + tracked.tokens, updated_at = now(),
           day_prompts = case when c.counted_on = v_today then c.day_prompts else 0 end + tracked.prompts,
           day_tokens = case when c.counted_on = v_today then c.day_tokens else 0 end + tracked.tokens,
           counted_on = v_today
      from (
        select e.user_id, sum(e.prompt_count) as prompts, sum(e.total_tokens) as tokens
          from unnest(v_events) e group by e.user_id
      ) tracked
     where c.user_id = tracked.user_id;
    perform private.record_usage_events(v_events);
  end if;
  return to_jsonb(v_answers);
end
$$;
grant execute on function public.track_usage(jsonb) to service_role;
comment on function public.track_usage(jsonb) is
  'Adds to the counters of accounts in one transaction. Takes an array of {user_id, version, usage, token_count, key, most_prompts, most_tokens}, the last two what may be counted a day (UTC); returns an array of outcomes in the same order: {prompts, tokens} after the item, or {code} where it was refused.';

create or replace view public.device_overview with (security_invoker = true) as
  select d.id, d.name, u.email as user_email, b.allocated, b.used, b.reserved,
         b.remaining, d.blocked, d.registrations, d.last_registered_at, d.created_at
    from public.devices d
    join public.balances b on b.subject_id = d.id
    left join public.users u on u.id = d.user_id
   where d.deleted_at is null;
comment on view public.device_overview is 'Devices with their balance and the account they are linked to.';
comment on column public.device_overview.id is 'The device''s id.';
comment on column public.device_overview.name is 'Its name.';
comment on column public.device_overview.user_email is 'The account it is linked to.';
comment on column public.device_overview.allocated is 'Tokens granted.';
comment on column public.device_overview.used is 'Tokens used in this period.';
comment on column public.device_overview.reserved is 'Tokens held.';
comment on column public.device_overview.remaining is 'Tokens left.';
comment on column public.device_overview.blocked is 'Whether it is blocked.';
comment on column public.device_overview.registrations is 'How often it registered.';
comment on column public.device_overview.last_registered_at is 'When it registered last.';
comment on column public.device_overview.created_at is 'When it registered first.';

create or replace view public.user_overview with (security_invoker = true) as
  select u.id, u.email, u.name, b.allocated, b.used, b.reserved, b.remaining,
         (select count(*) from public.devices d where d.user_id = u.id and d.deleted_at is null) as devices, u.created_at
    from public.users u
    left join public.balances b on b.subject_id = u.id;
comment on view public.user_overview is 'Accounts with their balance and number of devices.';
comment on column public.user_overview.id is 'The account''s id.';
comment on column public.user_overview.email is 'Its e-mail address.';
comment on column public.user_overview.name is 'Its name.';
comment on column public.user_overview.allocated is 'Tokens granted.';
comment on column public.user_overview.used is 'Tokens used.';
comment on column public.user_overview.reserved is 'Tokens held.';
comment on column public.user_overview.remaining is 'Tokens left.';
comment on column public.user_overview.devices is 'Devices linked to it.';
comment on column public.user_overview.created_at is 'When it was created.';

reset check_function_bodies;

-- Notes the SHA-256 of the text above.
select private.record_migration('20261128005538', 'cff5bdf3d53d781fb09ff0a41e47f0ef6dd3c01fc38c937059f16da0722f0245');
