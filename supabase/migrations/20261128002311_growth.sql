-- TO DESCRIBE: what changes, and why.

-- Months that are over are proved once and sealed, so that proving the books again costs no more than what happened since.

create table if not exists private.sealed_months (
  month timestamptz primary key,
  events bigint not null default 0,
  rollups bigint not null default 0,
  checksum numeric not null default 0,
  sealed_at timestamptz,
  proved_at timestamptz not null default now(),
  retired_at timestamptz,
  fault jsonb
);
comment on table private.sealed_months is 'Months whose events and rollups were proved and may be trusted since: what changes in them is noted in changed_usage.';
comment on column private.sealed_months.month is 'The month''s start (UTC).';
comment on column private.sealed_months.events is 'Number of its events.';
comment on column private.sealed_months.rollups is 'Number of its rollups.';
comment on column private.sealed_months.checksum is 'Sum of the hashes of every event and every rollup of the month. Keep a copy elsewhere to prove that nobody wrote the seals anew.';
comment on column private.sealed_months.sealed_at is 'When it was sealed; null where it could not be, as fault says why.';
comment on column private.sealed_months.proved_at is 'When its events and rollups were last read again.';
comment on column private.sealed_months.retired_at is 'Since when it has rollups only, as retention has dropped its events.';
comment on column private.sealed_months.fault is 'What was found wrong with it; null for a sound one.';

create table if not exists private.sealed_events (
  month timestamptz not null,
  subject_id uuid not null,
  period integer not null,
  events bigint not null,
  cost bigint not null,
  checksum numeric not null,
  primary key (month, subject_id, period)
);
comment on table private.sealed_events is 'What the events of sealed months add up to.';
comment on column private.sealed_events.month is 'The month''s start (UTC).';
comment on column private.sealed_events.subject_id is 'The device or user.';
comment on column private.sealed_events.period is 'The budget period the events belong to.';
comment on column private.sealed_events.events is 'Number of events.';
comment on column private.sealed_events.cost is 'Sum of their costs.';
comment on column private.sealed_events.checksum is 'Sum of their hashes.';

create table if not exists private.sealed_rollups (
  month timestamptz not null,
  subject_id uuid not null,
  rollups bigint not null,
  tracked_prompts bigint not null,
  tracked_tokens bigint not null,
  checksum numeric not null,
  primary key (month, subject_id)
);
comment on table private.sealed_rollups is 'What the rollups of sealed months add up to.';
comment on column private.sealed_rollups.month is 'The month''s start (UTC).';
comment on column private.sealed_rollups.subject_id is 'The device or user.';
comment on column private.sealed_rollups.rollups is 'Number of rollups.';
comment on column private.sealed_rollups.tracked_prompts is 'Prompts in those of the tracker.';
comment on column private.sealed_rollups.tracked_tokens is 'Tokens in those of the tracker.';
comment on column private.sealed_rollups.checksum is 'Sum of their hashes.';

create table if not exists private.sealed_totals (
  bucket timestamptz primary key,
  events bigint not null,
  prompts bigint not null,
  input_tokens bigint not null,
  output_tokens bigint not null,
  total_tokens bigint not null,
  cost bigint not null,
  nano_usd bigint not null
);
comment on table private.sealed_totals is 'What everybody''s rollups of a quarter hour in a sealed month add up to.';
comment on column private.sealed_totals.bucket is 'Start of the quarter hour (UTC).';
comment on column private.sealed_totals.events is 'Number of events.';
comment on column private.sealed_totals.prompts is 'Sum of their prompts.';
comment on column private.sealed_totals.input_tokens is 'Sum of their input tokens.';
comment on column private.sealed_totals.output_tokens is 'Sum of their output tokens.';
comment on column private.sealed_totals.total_tokens is 'Sum of their tokens.';
comment on column private.sealed_totals.cost is 'Sum of what they debited.';
comment on column private.sealed_totals.nano_usd is 'Sum of what upstream charges for them, in nano-dollars.';

-- A row of its own for each transaction: whoever changes the past waits for nobody, and a seal that is renewed takes away
-- only what it has seen.
create table if not exists private.changed_usage (
  month timestamptz not null,
  subject_id uuid not null,
  bucket timestamptz not null,
  changed_by xid8 not null default pg_current_xact_id(),
  by_hand boolean not null default false,
  primary key (month, subject_id, bucket, changed_by)
);
comment on table private.changed_usage is 'What changed in months that are over, since they were sealed: written by triggers, in the transaction of the change.';
comment on column private.changed_usage.month is 'The month''s start (UTC).';
comment on column private.changed_usage.subject_id is 'The device or user.';
comment on column private.changed_usage.bucket is 'The quarter hour something changed in.';
comment on column private.changed_usage.changed_by is 'The transaction.';
comment on column private.changed_usage.by_hand is 'Whether something changed that no function of ours ever changes.';

create index if not exists ledger_entries_correction_idx on public.ledger_entries (reference) where kind = 'correction';
create index if not exists reservations_closed_idx on public.reservations using brin (closed_at);
create index if not exists generations_created_idx on public.generations using brin (created_at);

alter table private.sealed_months enable row level security;
alter table private.sealed_events enable row level security;
alter table private.sealed_rollups enable row level security;
alter table private.sealed_totals enable row level security;
alter table private.changed_usage enable row level security;

set check_function_bodies = off;

drop function if exists private.drop_old_usage(p_horizon timestamp with time zone);

drop function if exists public.verify_ledger();

create or replace function private.break_seals()
returns trigger
language plpgsql volatile set search_path = ''
as $$
begin
  delete from private.sealed_totals;
  delete from private.sealed_rollups;
  delete from private.sealed_events;
  delete from private.sealed_months;
  return null;
end
$$;
comment on function private.break_seals() is 'Trigger: takes every seal away, so that all months are proved from their rows again.';

create or replace function private.budget_json(p_kind text)
returns jsonb
language sql stable set search_path = ''
as $$
  select jsonb_build_object(
    'subject_kind', p.subject_kind, 'total', p.total, 'allocated', p.allocated,
    'used', coalesce(b.used, 0), 'reserved', coalesce(b.reserved, 0),
    'remaining', p.allocated - coalesce(b.used, 0) - coalesce(b.reserved, 0),
    'unallocated', case when p.total is not null then greatest(p.total - p.allocated, 0) end
  )
    from public.budgets p
    left join (
      -- Not of balances that have yet to come into a period that has begun: there they have used nothing.
      select b.subject_kind, sum(b.used)::bigint as used, sum(b.reserved)::bigint as reserved
        from public.balances b
       where b.subject_kind = p_kind and (p_kind <> 'device' or b.period = (select max(n.number) from public.periods n))
       group by b.subject_kind
    ) b using (subject_kind)
   where p.subject_kind = p_kind
$$;
comment on function private.budget_json(text) is 'Returns a pool with what is allocated from it, spent, held and left.';

create or replace function private.close_device(p_device_id uuid, p_actor text, p_note text)
returns bigint
language plpgsql volatile set search_path = ''
as $$
declare
  v_unused bigint;
begin
  -- While it is still there: the pool has counted the new period's default for it.
  perform private.enter_period(array[p_device_id]);
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
  returning allocated - used - reserved into v_unused;
  if v_unused > 0 then
    perform private.change_allocation(p_device_id, -v_unused, 'adjustment', p_actor, p_note);
    update public.budgets set allocated = allocated - v_unused, updated_at = now() where subject_kind = 'device';
  end if;
  return coalesce(v_unused, 0);
end
$$;
comment on function private.close_device(uuid, text, text) is
  'Ends the tokens and holds of a device, takes its fingerprint, and returns its unused tokens to the pool; returns how many. The pool and its balance must be locked.';

-- The caller has decided that a reset is due; the pool's lock makes it the only one. It is one step however many devices there
-- are: balances come into the new period one by one, see enter_period, and are at most one period behind.
create or replace function private.close_period(p_actor text, p_request_id text, p_default_tokens bigint)
returns integer
language plpgsql volatile set search_path = ''
as $$
declare
  v_closed integer;
begin
  perform private.enter_period(array(
    select b.subject_id from public.balances b
     where b.subject_kind = 'device' and b.period < (select max(p.number) from public.periods p)
  ));
  update public.periods set closed_at = now(), closed_by = p_actor where closed_at is null
  returning number into strict v_closed;
  insert into public.periods (number, default_tokens) values (v_closed + 1, p_default_tokens);
  update public.budgets p
     set allocated = p_default_tokens * (
           select count(*) from public.devices d join public.balances b on b.subject_id = d.id where d.deleted_at is null
         ),
         updated_at = now()
   where p.subject_kind = 'device';
  perform private.audit(
    p_actor, p_request_id, 'reset_monthly', 'period:' || v_closed,
    jsonb_build_object('period', v_closed), jsonb_build_object('period', v_closed + 1, 'default_tokens', p_default_tokens)
  );
  return v_closed + 1;
end
$$;
comment on function private.close_period(text, text, bigint) is
  'Closes the open period and begins the next, in which every device has the default. The caller holds the devices'' pool. Returns the new period''s number.';

-- A closed generation has one event of what it was settled at; corrections are ledger entries.
create or replace function private.compare_generations(
  p_from timestamptz, p_until timestamptz, p_subject_id uuid default null, out checked bigint, out discrepancies jsonb
)
language plpgsql stable set search_path = '' set plan_cache_mode = 'force_custom_plan' set work_mem = '64MB'
as $$
begin
  with closed as materialized (
    select r.id, r.status, r.created_at from public.reservations r
     where r.closed_at >= p_from and r.closed_at < p_until and (p_subject_id is null or r.subject_id = p_subject_id)
  ),
  events as (
    select e.id, sum(e.cost) as cost from public.usage_events e
     where e.source in ('chat', 'api') and e.occurred_at >= p_from and e.occurred_at < p_until
       and (p_subject_id is null or e.subject_id = p_subject_id)
     group by e.id
  ),
  compared as (
    select g.id, coalesce(e.cost, 0) as proven,
           (
             private.weighted_tokens(g, g.input_tokens, g.output_tokens) - g.uncollected
             + coalesce((
               select sum(l.amount) from public.ledger_entries l
                where l.kind = 'correction' and l.reference = 'generation:' || g.id
             ), 0)
           )::numeric as stated
      from closed r
      join public.generations g on g.id = r.id
      left join events e on e.id = g.id
     where r.status <> 'held'
       -- A generation is as old as its hold: nothing older has to be read.
       and g.created_at >= (select min(c.created_at) from closed c)
  )
  select count(*),
         coalesce(
           jsonb_agg(jsonb_build_object('subject', c.id, 'stated', c.stated, 'proven', c.proven))
             filter (where c.stated is distinct from c.proven),
           '[]'
         )
    into checked, discrepancies
    from compared c;
end
$$;
comment on function private.compare_generations(timestamptz, timestamptz, uuid) is
  'Compares the generations that ended in a month, or those of one subject, with their events and corrections; returns how many, and the differences.';

create or replace function private.compare_rollups(
  p_from timestamptz, p_until timestamptz, p_subject_id uuid default null, out checked bigint, out discrepancies jsonb
)
language plpgsql stable set search_path = '' set plan_cache_mode = 'force_custom_plan' set work_mem = '64MB'
as $$
declare
  v_full boolean := exists (
    select from private.rollup_names n
     where n.day >= (p_from at time zone 'UTC')::date and n.day < (p_until at time zone 'UTC')::date
       and (p_subject_id is null or n.subject_id = p_subject_id)
     group by n.subject_id, n.day having count(*) >= private.rollup_name_limit()
  );
begin
  with full_days as (
    select n.subject_id, n.day
      from private.rollup_names n
     where v_full and n.day >= (p_from at time zone 'UTC')::date and n.day < (p_until at time zone 'UTC')::date
       and (p_subject_id is null or n.subject_id = p_subject_id)
     group by n.subject_id, n.day having count(*) >= private.rollup_name_limit()
  ),
  named as (
    select e.subject_id, e.occurred_at, e.provider, e.model, e.source, e.prompt_count, e.input_tokens, e.output_tokens,
           e.total_tokens, e.cost, e.nano_usd
      from public.usage_events e
     where not v_full and e.occurred_at >= p_from and e.occurred_at < p_until
       and (p_subject_id is null or e.subject_id = p_subject_id)
    union all
    select e.subject_id, e.occurred_at,
           case when f.day is null or n.day is not null then e.provider else 'other' end,
           case when f.day is null or n.day is not null then e.model else 'other' end, e.source, e.prompt_count,
           e.input_tokens, e.output_tokens, e.total_tokens, e.cost, e.nano_usd
      from public.usage_events e
      left join full_days f on f.subject_id = e.subject_id and f.day = (e.occurred_at at time zone 'UTC')::date
      left join private.rollup_names n
        on n.subject_id = f.subject_id and n.day = f.day and n.provider = e.provider and n.model = e.model
     where v_full and e.occurred_at >= p_from and e.occurred_at < p_until
       and (p_subject_id is null or e.subject_id = p_subject_id)
  ),
  events as (
    select n.subject_id, date_bin('15 minutes', n.occurred_at, 'epoch') as bucket, n.provider, n.model, n.source,
           count(*) as events, sum(n.prompt_count) as prompts, sum(n.input_tokens) as input_tokens,
           sum(n.output_tokens) as output_tokens, sum(n.total_tokens) as total_tokens, sum(n.cost) as cost,
           coalesce(sum(n.nano_usd), 0) as nano_usd
      from named n
     group by 1, 2, 3, 4, 5
  ),
  rollups as (
    select * from public.usage_rollups r
     where r.bucket >= p_from and r.bucket < p_until and (p_subject_id is null or r.subject_id = p_subject_id)
  ),
  compared as (
    select subject_id,
           (r.events, r.prompts, r.input_tokens, r.output_tokens, r.total_tokens, r.cost, r.nano_usd) is distinct from
           (e.events, e.prompts, e.input_tokens, e.output_tokens, e.total_tokens, e.cost, e.nano_usd) as differs,
           array[r.events, r.prompts, r.input_tokens, r.output_tokens, r.total_tokens, r.cost, r.nano_usd]::numeric[] as stated,
           array[e.events, e.prompts, e.input_tokens, e.output_tokens, e.total_tokens, e.cost, e.nano_usd]::numeric[] as proven
      from rollups r full join events e using (subject_id, bucket, provider, model, source)
  )
  select count(*),
         coalesce(
           jsonb_agg(jsonb_build_object('subject', c.subject_id, 'stated', c.stated, 'proven', c.proven)) filter (where c.differs),
           '[]'
         )
    into checked, discrepancies
    from compared c;
end
$$;
comment on function private.compare_rollups(timestamptz, timestamptz, uuid) is
  'Compares the rollups of a month, or of one subject in it, with what the events add up to; returns how many, and the differences.';

-- Nobody waits for this: there are months ahead, so that it may just as well be done the next time.
create or replace function private.create_months_ahead()
returns void
language plpgsql volatile set search_path = '' set lock_timeout = '1s'
as $$
begin
  perform private.ensure_usage_partition(now() + make_interval(months => n)) from generate_series(0, 3) as n;
exception when lock_not_available then
  raise log 'months ahead are created the next time: somebody holds a lock on usage_events';
end
$$;
comment on function private.create_months_ahead() is 'Creates the partitions of the months to come, unless that would take longer than a moment.';

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
    when 'remaining' then '(b.allocated - b.used - b.reserved)'
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
                 'reserved', p.reserved, 'remaining', p.allocated - p.used - p.reserved, 'blocked', p.blocked,
                 'registrations', p.registrations, 'created_at', p.created_at,
                 'last_seen', greatest(p.last_registered_at, private.last_used_at(p.id)),
                 'usage_this_month', private.device_models_this_month(p.id),
                 'sort_value', p.sort_value::text
               ) order by p.sort_value %2$s, p.id %2$s
             ), '[]')
        from (
          select d.id, d.name, u.email as user_email, b.allocated, b.used, b.reserved, d.blocked, d.registrations,
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

-- A reset only begins the next period. Each balance comes into it when it is next touched, or when maintenance gets to it:
-- what it had and used goes into the history first, so that nothing of the new period ever counts for the old one.
create or replace function private.enter_period(p_subjects uuid[])
returns integer
language plpgsql volatile set search_path = ''
as $$
declare
  v_period public.periods;
  v_stale uuid[];
begin
  select p.* into v_period from public.periods p order by p.number desc limit 1;
  select array_agg(s.subject_id) into v_stale
    from (
      select b.subject_id from public.balances b
       where b.subject_id = any (p_subjects) and b.subject_kind = 'device' and b.period < v_period.number
       order by b.subject_id for update
    ) s;
  if v_stale is null then
    return 0;
  end if;

  -- Holds end with their period; usage that comes in for them is debited from the new one.
  update public.reservations r set status = 'expired', closed_at = now()
   where r.subject_id = any (v_stale) and r.status = 'held';
  insert into public.period_balances (period, subject_id, allocated, used)
  select b.period, b.subject_id, b.allocated, b.used from public.balances b
   where b.subject_id = any (v_stale) and (b.allocated > 0 or b.used > 0);
  with target as (
    select b.subject_id, b.allocated as before,
           case when d.deleted_at is null then v_period.default_tokens else 0 end as after
      from public.balances b join public.devices d on d.id = b.subject_id
     where b.subject_id = any (v_stale)
  ), entries as (
    insert into public.ledger_entries (subject_id, kind, amount, period, actor, reference)
    select t.subject_id, 'reset', t.after - t.before, v_period.number, p.closed_by, 'period ' || v_period.number
      from target t join public.periods p on p.number = v_period.number - 1
     where t.after <> t.before
  )
  update public.balances b
     set allocated = t.after, used = 0, reserved = 0, period = v_period.number, updated_at = now()
    from target t where b.subject_id = t.subject_id;
  return cardinality(v_stale);
end
$$;
comment on function private.enter_period(uuid[]) is
  'Brings those of the given devices'' balances that are still in the period before into the one that runs, with their history; returns how many. Locks them.';

-- The columns are written out, as a column that comes later must not break seals. Hash partitioning depends on these hashes,
-- too: they are the same on every machine and in every version.
create or replace function private.hash_events(p_from timestamptz, p_until timestamptz, p_subject_id uuid default null)
returns table (subject_id uuid, period integer, events bigint, cost bigint, checksum numeric)
language plpgsql stable set search_path = '' set plan_cache_mode = 'force_custom_plan' set work_mem = '64MB'
as $$
begin
  return query
    select e.subject_id, e.period, count(*), sum(e.cost)::bigint,
           sum(hash_record_extended(row(
             e.id, e.subject_id, e.user_id, e.device_id, e.source, e.provider, e.model, e.prompt_count, e.input_tokens,
             e.output_tokens, e.total_tokens, e.cost, e.provenance, e.period, e.url, e.occurred_at, e.created_at,
             e.nano_usd
           ), 0))
      from public.usage_events e
     where e.occurred_at >= p_from and e.occurred_at < p_until and (p_subject_id is null or e.subject_id = p_subject_id)
     group by e.subject_id, e.period;
end
$$;
comment on function private.hash_events(timestamptz, timestamptz, uuid) is
  'Returns what the events of a month, or of one subject in it, add up to, with the sum of their hashes.';

create or replace function private.hash_rollups(p_from timestamptz, p_until timestamptz, p_subject_id uuid default null)
returns table (subject_id uuid, rollups bigint, tracked_prompts bigint, tracked_tokens bigint, checksum numeric)
language plpgsql stable set search_path = '' set plan_cache_mode = 'force_custom_plan' set work_mem = '64MB'
as $$
begin
  return query
    select r.subject_id, count(*), coalesce(sum(r.prompts) filter (where r.source = 'tracker'), 0)::bigint,
           coalesce(sum(r.total_tokens) filter (where r.source = 'tracker'), 0)::bigint,
           sum(hash_record_extended(row(
             r.subject_id, r.bucket, r.provider, r.model, r.source, r.events, r.prompts, r.input_tokens, r.output_tokens,
             r.total_tokens, r.cost, r.nano_usd
           ), 0))
      from public.usage_rollups r
     where r.bucket >= p_from and r.bucket < p_until and (p_subject_id is null or r.subject_id = p_subject_id)
     group by r.subject_id;
end
$$;
comment on function private.hash_rollups(timestamptz, timestamptz, uuid) is
  'Returns what the rollups of a month, or of one subject in it, add up to, with the sum of their hashes.';

-- A look-up by the key for each, instead of a correlated subquery: those cannot be spread over several machines.
create or replace function private.last_used_at(p_subject_id uuid)
returns timestamptz
language plpgsql stable set search_path = ''
as $$
begin
  return (select r.bucket from public.usage_rollups r where r.subject_id = p_subject_id order by r.bucket desc limit 1);
end
$$;
comment on function private.last_used_at(uuid) is 'Returns the quarter hour of a device''s or user''s last use, null where there was none.';

-- Debits lock the balance first, too: none commits after an admin has blocked, rotated or removed its device.
create or replace function private.lock_device(p_device_id uuid)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
begin
  perform from public.balances b where b.subject_id = p_device_id for update;
  perform private.enter_period(array[p_device_id]);
  perform private.require_subject('device', p_device_id);
  return private.device_json(p_device_id);
end
$$;
comment on function private.lock_device(uuid) is 'Waits for running debits of the device and holds back further ones; returns its state. Raises DEVICE_NOT_FOUND.';

create or replace function private.mark_changed_correction()
returns trigger
language plpgsql volatile set search_path = ''
as $$
begin
  if new.reference ~ '^generation:[0-9a-f-]{36}$' then
    perform private.mark_changed_usage(r.subject_id, r.closed_at)
       from public.reservations r where r.id = right(new.reference, 36)::uuid and r.closed_at is not null;
  end if;
  return null;
end
$$;
comment on function private.mark_changed_correction() is
  'Trigger: notes that a generation that ended in a month that is over was corrected.';

-- Owners of accounts may have names and addresses removed and observed events deleted, and upstream may tell late what an
-- answer cost. Everything else about an event stays what it was.
create or replace function private.mark_changed_event()
returns trigger
language plpgsql volatile set search_path = ''
as $$
begin
  if tg_op = 'INSERT' then
    perform private.mark_changed_usage(new.subject_id, new.occurred_at);
  elsif tg_op = 'DELETE' then
    perform private.mark_changed_usage(old.subject_id, old.occurred_at, old.cost > 0);
  else
    perform private.mark_changed_usage(
      old.subject_id, old.occurred_at,
      (to_jsonb(old) - array['user_id', 'url', 'nano_usd']) is distinct from (to_jsonb(new) - array['user_id', 'url', 'nano_usd'])
    );
    perform private.mark_changed_usage(new.subject_id, new.occurred_at);
  end if;
  return null;
end
$$;
comment on function private.mark_changed_event() is 'Trigger: notes that an event of a month that is over came, changed or went.';

create or replace function private.mark_changed_generation()
returns trigger
language plpgsql volatile set search_path = ''
as $$
begin
  perform private.mark_changed_usage(r.subject_id, r.closed_at)
     from public.reservations r where r.id in (old.id, case when tg_op = 'UPDATE' then new.id end) and r.closed_at is not null;
  return null;
end
$$;
comment on function private.mark_changed_generation() is
  'Trigger: notes that a generation that ended in a month that is over changed or went.';

create or replace function private.mark_changed_reservation()
returns trigger
language plpgsql volatile set search_path = ''
as $$
begin
  perform private.mark_changed_usage(old.subject_id, old.closed_at);
  if new.closed_at is not null then
    perform private.mark_changed_usage(new.subject_id, new.closed_at);
  end if;
  return null;
end
$$;
comment on function private.mark_changed_reservation() is 'Trigger: notes that a hold that ended in a month that is over changed.';

create or replace function private.mark_changed_rollup()
returns trigger
language plpgsql volatile set search_path = ''
as $$
begin
  if tg_op in ('UPDATE', 'DELETE') then
    perform private.mark_changed_usage(old.subject_id, old.bucket);
  end if;
  if tg_op in ('INSERT', 'UPDATE') then
    perform private.mark_changed_usage(new.subject_id, new.bucket);
  end if;
  return null;
end
$$;
comment on function private.mark_changed_rollup() is 'Trigger: notes that a rollup of a month that is over came, changed or went.';

create or replace function private.mark_changed_usage(p_subject_id uuid, p_at timestamptz, p_by_hand boolean default false)
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  -- Not the transaction's time: one that began in another month may write in this one.
  if p_at < date_trunc('month', clock_timestamp(), 'UTC') then
    insert into private.changed_usage as c (month, subject_id, bucket, by_hand)
    values (date_trunc('month', p_at, 'UTC'), p_subject_id, date_bin('15 minutes', p_at, 'epoch'), p_by_hand)
    on conflict (month, subject_id, bucket, changed_by) do update set by_hand = true
      where excluded.by_hand and not c.by_hand;
  end if;
end
$$;
comment on function private.mark_changed_usage(uuid, timestamptz, boolean) is
  'Notes that something of a subject changed in a quarter hour of a month that is over.';

create or replace function private.prove_balances(p_trust_seals boolean)
returns table (place integer, title text, checked bigint, discrepancies jsonb)
language plpgsql stable set search_path = '' set work_mem = '64MB'
as $$
begin
  return query
  with
  scopes as materialized (
    select * from private.usage_scopes(p_trust_seals)
  ),
  costs as (
    -- Of sealed months, what did not change since.
    select e.subject_id, e.period, e.cost
      from private.sealed_events e
      join private.usage_months(p_trust_seals) m on m.month = e.month and m.is_sealed
      left join scopes s on s.month = e.month and s.subject_id = e.subject_id
     where s.month is null
    union all
    select e.subject_id, e.period, e.cost
      from scopes s
     cross join lateral (
       select u.subject_id, u.period, sum(u.cost)::bigint as cost from public.usage_events u
        where u.occurred_at >= s.month and u.occurred_at < s.until
        group by u.subject_id, u.period
     ) e
     where s.subject_id is null and s.has_events
    union all
    select e.subject_id, e.period, e.cost
      from scopes s
      join public.usage_events e on e.subject_id = s.subject_id and e.occurred_at >= s.month and e.occurred_at < s.until
     where s.has_events
    union all
    select r.subject_id, r.period, r.cost from private.retired_usage r
  ),
  parts as (
    select 1 as place, subject_id::text as subject, b.allocated as stated, coalesce(e.total, 0) as proven
      from public.balances b
      full join (select subject_id, sum(amount) as total from public.ledger_entries group by subject_id) e using (subject_id)
    union all
    select 2, b.subject_id::text, b.used + b.debt, coalesce(e.total, 0)
      from public.balances b
      left join (select c.subject_id, c.period, sum(c.cost) as total from costs c group by c.subject_id, c.period) e
        on e.subject_id = b.subject_id and e.period = b.period
    union all
    select 3, subject_id::text, b.reserved, coalesce(r.total, 0)
      from public.balances b
      full join (
        select subject_id, sum(amount) as total from public.reservations where status = 'held' group by subject_id
      ) r using (subject_id)
    union all
    select 7, subject_kind, p.allocated, coalesce(b.total, 0)
      from public.budgets p
      left join (
        -- A balance that has yet to come into the period that runs counts as what it will have there.
        select o.subject_kind,
               sum(case
                 when o.subject_kind = 'user' or o.period = n.number then o.allocated
                 when d.deleted_at is null then n.default_tokens
                 else 0
               end) as total
          from public.balances o
          cross join lateral (select p.* from public.periods p order by p.number desc limit 1) n
          left join public.devices d on d.id = o.subject_id
         group by o.subject_kind
      ) b using (subject_kind)
    union all
    select 9, b.subject_id::text, b.debt, 0 from public.balances b where b.debt > 0 and b.allocated > b.used + b.reserved
  )
  select t.place, t.title, count(p.place),
         coalesce(
           jsonb_agg(jsonb_build_object('subject', p.subject, 'stated', p.stated, 'proven', p.proven))
             filter (where p.place is not null and p.stated is distinct from p.proven),
           '[]'
         )
    from (values
           (1, 'allocated = sum of ledger entries'), (2, 'used + debt = sum of event costs in the period'),
           (3, 'reserved = sum of held reservations'), (7, 'pools = sums of allocations'), (9, 'debt only where nothing is left')
         ) as t(place, title)
    left join parts p on p.place = t.place
   group by t.place, t.title;
end
$$;
comment on function private.prove_balances(boolean) is
  'Recomputes balances and pools from ledger entries, events and holds; what sealed months add up to is taken from their seals, if these are trusted.';

create or replace function private.prove_entries()
returns table (place integer, title text, checked bigint, discrepancies jsonb)
language sql stable set search_path = ''
as $$
  with
  transfers as (
    select e.reference as subject, 0 as stated, sum(e.amount) as proven
      from public.ledger_entries e where e.kind = 'transfer' group by e.reference
  ),
  -- What was granted is what the money that was kept is worth, but for what is owed or was written down.
  paid as (
    select user_id as subject,
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
  )
  select 6, 'legs of each transfer cancel out', count(*),
         coalesce(
           jsonb_agg(jsonb_build_object('subject', t.subject, 'stated', t.stated, 'proven', t.proven))
             filter (where t.stated is distinct from t.proven),
           '[]'
         )
    from transfers t
  union all
  select 11, 'tokens granted for payments = worth of the money kept', count(*),
         coalesce(
           jsonb_agg(jsonb_build_object('subject', p.subject, 'stated', p.stated, 'proven', p.proven))
             filter (where p.stated is distinct from p.proven),
           '[]'
         )
    from paid p
$$;
comment on function private.prove_entries() is 'Proves that transfers cancel out, and that paid grants are worth the money that was kept.';

create or replace function private.prove_generations(p_trust_seals boolean)
returns table (place integer, title text, checked bigint, discrepancies jsonb)
language plpgsql stable set search_path = '' set work_mem = '64MB'
as $$
begin
  return query
  with closed as (
    select c.checked, c.discrepancies
      from private.usage_scopes(p_trust_seals) s
     cross join lateral private.compare_generations(s.month, s.until, s.subject_id) c
     where s.has_events
  ),
  -- What runs has no event yet.
  running as (
    select count(*) as checked,
           coalesce(
             jsonb_agg(jsonb_build_object('subject', g.id, 'stated', 0, 'proven', e.cost)) filter (where e.cost is not null), '[]'
           ) as discrepancies
      from public.reservations r
      join public.generations g on g.id = r.id
     cross join lateral (
       select nullif(sum(u.cost), 0) as cost from public.usage_events u
        where u.subject_id = g.subject_id and u.occurred_at >= g.created_at and u.id = g.id and u.source in ('chat', 'api')
     ) e
     where r.closed_at is null
  ),
  parts as (
    select * from closed union all select * from running
  )
  select 10, 'generations = their events and corrections', coalesce(sum(p.checked), 0)::bigint,
         coalesce((
           select jsonb_agg(d.found) from parts p cross join lateral jsonb_array_elements(p.discrepancies) d(found)
         ), '[]')
    from parts p;
end
$$;
comment on function private.prove_generations(boolean) is
  'Recomputes generations from their events and corrections, but for those that ended in sealed months, if seals are trusted.';

create or replace function private.prove_month(p_month timestamptz)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_until timestamptz := (p_month at time zone 'UTC' + interval '1 month') at time zone 'UTC';
  v_seal record;
  v_rollups record;
  v_generations record;
  v_discrepancies jsonb;
begin
  select s.checked, s.discrepancies into v_seal from private.prove_seal(p_month) s;
  select c.checked, c.discrepancies into v_rollups from private.compare_rollups(p_month, v_until) c
   where exists (select from private.usage_months() m where m.month = p_month and m.has_events);
  select c.checked, c.discrepancies into v_generations from private.compare_generations(p_month, v_until) c
   where exists (select from private.usage_months() m where m.month = p_month and m.has_events);
  v_discrepancies := v_seal.discrepancies || coalesce(v_rollups.discrepancies, '[]') || coalesce(v_generations.discrepancies, '[]');
  -- What was found stays until somebody has looked into it, whatever a later look finds.
  update private.sealed_months
     set proved_at = now(), fault = coalesce(fault, jsonb_path_query_array(nullif(v_discrepancies, '[]'), '$[0 to 19]'))
   where month = p_month;
  return jsonb_build_object(
    'month', to_char(p_month at time zone 'UTC', 'YYYY-MM'), 'ok', v_discrepancies = '[]',
    'checked', v_seal.checked + coalesce(v_rollups.checked, 0) + coalesce(v_generations.checked, 0),
    'discrepancies', v_discrepancies
  );
end
$$;
comment on function private.prove_month(timestamptz) is
  'Reads all of a sealed month again, notes in its seal what is wrong, and returns {month, ok, checked, discrepancies}.';

-- What was changed since is proved with its books, and sealed anew: the seal says nothing about it.
create or replace function private.prove_seal(p_month timestamptz, out checked bigint, out discrepancies jsonb)
language plpgsql stable set search_path = '' set plan_cache_mode = 'force_custom_plan' set work_mem = '64MB'
as $$
declare
  v_until timestamptz := (p_month at time zone 'UTC' + interval '1 month') at time zone 'UTC';
begin
  with
  subjects as materialized (
    select distinct c.subject_id from private.changed_usage c where c.month = p_month
  ),
  buckets as materialized (
    select distinct c.bucket from private.changed_usage c where c.month = p_month
  ),
  events as (
    select subject_id::text as subject, jsonb_build_array('events', s.events, s.cost, s.checksum) as stated,
           jsonb_build_array('events', e.events, e.cost, e.checksum) as proven,
           (s.events, s.cost, s.checksum) is distinct from (e.events, e.cost, e.checksum)
             and not exists (select from subjects c where c.subject_id = coalesce(s.subject_id, e.subject_id)) as differs
      from (select * from private.sealed_events where month = p_month) s
      full join private.hash_events(p_month, v_until) e using (subject_id, period)
  ),
  rollups as (
    select subject_id::text as subject, jsonb_build_array('rollups', s.rollups, s.checksum) as stated,
           jsonb_build_array('rollups', r.rollups, r.checksum) as proven,
           (s.rollups, s.tracked_prompts, s.tracked_tokens, s.checksum)
             is distinct from (r.rollups, r.tracked_prompts, r.tracked_tokens, r.checksum)
             and not exists (select from subjects c where c.subject_id = coalesce(s.subject_id, r.subject_id)) as differs
      from (select * from private.sealed_rollups where month = p_month) s
      full join private.hash_rollups(p_month, v_until) r using (subject_id)
  ),
  totals as (
    select bucket::text as subject, jsonb_build_array('totals', s.events, s.total_tokens, s.cost, s.nano_usd) as stated,
           jsonb_build_array('totals', r.events, r.total_tokens, r.cost, r.nano_usd) as proven,
           (s.events, s.prompts, s.input_tokens, s.output_tokens, s.total_tokens, s.cost, s.nano_usd) is distinct from
           (r.events, r.prompts, r.input_tokens, r.output_tokens, r.total_tokens, r.cost, r.nano_usd)
             and not exists (select from buckets c where c.bucket = coalesce(s.bucket, r.bucket)) as differs
      from (select * from private.sealed_totals where bucket >= p_month and bucket < v_until) s
      full join private.sum_rollups(p_month, v_until) r using (bucket)
  ),
  compared as (
    select * from events union all select * from rollups union all select * from totals
  )
  select count(*),
         coalesce(
           jsonb_agg(jsonb_build_object('subject', c.subject, 'stated', c.stated, 'proven', c.proven)) filter (where c.differs),
           '[]'
         )
    into checked, discrepancies
    from compared c;
end
$$;
comment on function private.prove_seal(timestamptz) is
  'Reads the events and rollups of a sealed month again and compares them with its seal; returns how many sums, and the differences.';

create or replace function private.prove_seals(p_full boolean)
returns table (place integer, title text, checked bigint, discrepancies jsonb)
language sql stable set search_path = ''
as $$
  with
  parts as (
    select m.month, m.events, m.rollups, m.checksum, m.fault,
           (select coalesce(sum(e.events), 0) from private.sealed_events e where e.month = m.month) as sealed_events,
           (select coalesce(sum(r.rollups), 0) from private.sealed_rollups r where r.month = m.month) as sealed_rollups,
           (select coalesce(sum(e.checksum), 0) from private.sealed_events e where e.month = m.month)
             + (select coalesce(sum(r.checksum), 0) from private.sealed_rollups r where r.month = m.month) as sealed_checksum
      from private.sealed_months m
     where m.sealed_at is not null
  ),
  findings as (
    select p.month::text as subject, to_jsonb(array[p.events, p.rollups, p.checksum]) as stated,
           to_jsonb(array[p.sealed_events, p.sealed_rollups, p.sealed_checksum]) as proven
      from parts p
     where (p.events, p.rollups, p.checksum) is distinct from (p.sealed_events, p.sealed_rollups, p.sealed_checksum)
    union all
    select p.month::text, '"as it was sealed"', p.fault from parts p where p.fault is not null
    union all
    select distinct c.subject_id::text, '"as it was sealed"'::jsonb, jsonb_build_object('changed by hand', c.bucket)
      from private.changed_usage c join parts p on p.month = c.month
     where c.by_hand
    union all
    select d.found ->> 'subject', d.found -> 'stated', d.found -> 'proven'
      from parts p
     cross join lateral private.prove_seal(p.month) s
     cross join lateral jsonb_array_elements(s.discrepancies) d(found)
     where p_full
  )
  select 12, 'sealed months are as they were sealed', (select count(*) from parts),
         coalesce(jsonb_agg(jsonb_build_object('subject', f.subject, 'stated', f.stated, 'proven', f.proven)), '[]')
    from findings f
$$;
comment on function private.prove_seals(boolean) is
  'Proves that seals add up and that nothing sealed was changed by hand; with p_full also reads every sealed month again.';

create or replace function private.prove_usage(p_trust_seals boolean)
returns table (place integer, title text, checked bigint, discrepancies jsonb)
language plpgsql stable set search_path = '' set work_mem = '64MB'
as $$
begin
  return query
  with
  scopes as materialized (
    select * from private.usage_scopes(p_trust_seals)
  ),
  sealed as materialized (
    select m.month, m.until from private.usage_months(p_trust_seals) m where m.is_sealed
  ),
  -- Rollups outlive the events retention drops.
  rollups as (
    select c.checked, c.discrepancies
      from scopes s cross join lateral private.compare_rollups(s.month, s.until, s.subject_id) c
     where s.month >= (select min(p.lower_bound) from private.usage_partitions() p)
    union all
    select s.rollups, '[]' from private.sealed_months s join sealed m on m.month = s.month where s.retired_at is null
  ),
  buckets as (
    select r.* from scopes s cross join lateral private.sum_rollups(s.month, s.until) r where s.subject_id is null
    union all
    select r.*
      from (
        select array_agg(distinct c.bucket) as changed, min(c.bucket) as first, max(c.bucket) as last
          from private.changed_usage c join sealed m on m.month = c.month
      ) c
     cross join lateral private.sum_rollups(c.first, c.last + interval '1 microsecond', c.changed) r
    union all
    select t.*
      from private.sealed_totals t
      join sealed m on t.bucket >= m.month and t.bucket < m.until
      left join (select distinct c.bucket from private.changed_usage c) c on c.bucket = t.bucket
     where c.bucket is null
  ),
  totals as (
    select bucket::text as subject,
           (t.events, t.prompts, t.input_tokens, t.output_tokens, t.total_tokens, t.cost, t.nano_usd) is distinct from
           (r.events, r.prompts, r.input_tokens, r.output_tokens, r.total_tokens, r.cost, r.nano_usd) as differs,
           array[t.events, t.prompts, t.input_tokens, t.output_tokens, t.total_tokens, t.cost, t.nano_usd]::numeric[] as stated,
           array[r.events, r.prompts, r.input_tokens, r.output_tokens, r.total_tokens, r.cost, r.nano_usd]::numeric[] as proven
      from (
        select bucket, sum(events) as events, sum(prompts) as prompts, sum(input_tokens) as input_tokens,
               sum(output_tokens) as output_tokens, sum(total_tokens) as total_tokens, sum(cost) as cost,
               sum(nano_usd) as nano_usd
          from public.usage_totals group by bucket
      ) t
      full join buckets r using (bucket)
  ),
  tracked_parts as (
    select r.subject_id, r.tracked_prompts as prompts, r.tracked_tokens as tokens
      from private.sealed_rollups r
      join sealed m on m.month = r.month
      left join scopes s on s.month = r.month and s.subject_id = r.subject_id
     where s.month is null and (r.tracked_prompts > 0 or r.tracked_tokens > 0)
    union all
    select r.subject_id, r.prompts, r.total_tokens
      from scopes s
     cross join lateral (
       select u.* from public.usage_rollups u where u.bucket >= s.month and u.bucket < s.until and u.source = 'tracker'
     ) r
     where s.subject_id is null
    union all
    select r.subject_id, r.prompts, r.total_tokens
      from scopes s
      join public.usage_rollups r on r.subject_id = s.subject_id and r.bucket >= s.month and r.bucket < s.until
     where r.source = 'tracker'
  ),
  tracked as (
    select u.id::text as subject, array[coalesce(c.prompts, 0), coalesce(c.tokens, 0)]::numeric[] as stated,
           array[coalesce(r.prompts, 0), coalesce(r.tokens, 0)]::numeric[] as proven
      from public.users u
      left join public.tracker_counters c on c.user_id = u.id
      left join (
        select p.subject_id, sum(p.prompts) as prompts, sum(p.tokens) as tokens from tracked_parts p group by p.subject_id
      ) r on r.subject_id = u.id
     where c.user_id is not null or r.subject_id is not null
  )
  select 4, 'rollups = sums of events', coalesce(sum(r.checked), 0)::bigint,
         coalesce((
           select jsonb_agg(d.found) from rollups r cross join lateral jsonb_array_elements(r.discrepancies) d(found)
         ), '[]')
    from rollups r
  union all
  select 5, 'totals = sums of rollups', count(*),
         coalesce(
           jsonb_agg(jsonb_build_object('subject', t.subject, 'stated', t.stated, 'proven', t.proven)) filter (where t.differs),
           '[]'
         )
    from totals t
  union all
  select 8, 'tracker counters = sums of tracker rollups', count(*),
         coalesce(
           jsonb_agg(jsonb_build_object('subject', t.subject, 'stated', t.stated, 'proven', t.proven))
             filter (where t.stated is distinct from t.proven),
           '[]'
         )
    from tracked t;
end
$$;
comment on function private.prove_usage(boolean) is
  'Recomputes rollups from events, totals and tracker counters from rollups; what sealed months add up to is taken from their seals, if these are trusted.';

-- What came or changed since is proved for the subjects it is about, and goes into the seal. What was changed by hand, or does
-- not add up, stays noted.
create or replace function private.renew_seals(p_limit integer)
returns integer
language plpgsql volatile set search_path = ''
as $$
declare
  v_scope record;
  v_seen xid8[];
  v_buckets timestamptz[];
  v_months timestamptz[] := '{}';
  v_renewed integer := 0;
begin
  for v_scope in
    select c.month, c.subject_id, min(m.until) as until, bool_or(m.has_events) as has_events
      from private.changed_usage c
      join private.usage_months() m on m.month = c.month and m.is_sealed
     group by c.month, c.subject_id
    having not bool_or(c.by_hand)
     order by c.month, c.subject_id
     limit p_limit
  loop
    select array_agg(distinct c.changed_by), array_agg(distinct c.bucket) into v_seen, v_buckets
      from private.changed_usage c where c.month = v_scope.month and c.subject_id = v_scope.subject_id;
    continue when v_scope.has_events and (
      (private.compare_rollups(v_scope.month, v_scope.until, v_scope.subject_id)).discrepancies <> '[]'
      or (private.compare_generations(v_scope.month, v_scope.until, v_scope.subject_id)).discrepancies <> '[]'
    );
    delete from private.sealed_events where month = v_scope.month and subject_id = v_scope.subject_id;
    delete from private.sealed_rollups where month = v_scope.month and subject_id = v_scope.subject_id;
    delete from private.sealed_totals where bucket = any (v_buckets);
    insert into private.sealed_events (month, subject_id, period, events, cost, checksum)
    select v_scope.month, e.subject_id, e.period, e.events, e.cost, e.checksum
      from private.hash_events(v_scope.month, v_scope.until, v_scope.subject_id) e where v_scope.has_events;
    insert into private.sealed_rollups (month, subject_id, rollups, tracked_prompts, tracked_tokens, checksum)
    select v_scope.month, r.subject_id, r.rollups, r.tracked_prompts, r.tracked_tokens, r.checksum
      from private.hash_rollups(v_scope.month, v_scope.until, v_scope.subject_id) r;
    insert into private.sealed_totals
    select r.* from private.sum_rollups(v_scope.month, v_scope.until, v_buckets) r;
    delete from private.changed_usage c
     where c.month = v_scope.month and c.subject_id = v_scope.subject_id and c.changed_by = any (v_seen)
       and c.bucket = any (v_buckets);
    v_months := v_months || v_scope.month;
    v_renewed := v_renewed + 1;
  end loop;
  perform private.sum_seal(m) from (select distinct m from unnest(v_months) m) months;
  return v_renewed;
end
$$;
comment on function private.renew_seals(integer) is
  'Proves what changed in sealed months and renews their seals, for so many subjects of a month at most; returns for how many.';

-- Once a month, by whoever comes first; a pool too small for everybody's default is shared out evenly.
create or replace function private.reset_when_due(p_default_tokens bigint)
returns boolean
language plpgsql volatile set search_path = ''
as $$
declare
  v_total bigint;
  v_devices bigint;
begin
  -- Nearly always not; the second look is the one that counts.
  if exists (
    select from public.periods p
     where p.closed_at is null and date_trunc('month', p.started_at, 'UTC') >= date_trunc('month', now(), 'UTC')
  ) then
    return false;
  end if;
  select total into strict v_total from public.budgets where subject_kind = 'device' for update;
  if not exists (
    select from public.periods p
     where p.closed_at is null and date_trunc('month', p.started_at, 'UTC') < date_trunc('month', now(), 'UTC')
  ) then
    return false;
  end if;
  select count(*) into v_devices from public.devices where deleted_at is null;
  perform private.close_period(
    'system:monthly', null, least(p_default_tokens, coalesce(v_total / nullif(v_devices, 0), p_default_tokens))
  );
  return true;
end
$$;
comment on function private.reset_when_due(bigint) is 'Resets where the open period began in an earlier month (UTC).';

create or replace function private.retire_month(p_month timestamptz)
returns void
language plpgsql volatile set search_path = '' set plan_cache_mode = 'force_custom_plan'
as $$
declare
  v_until timestamptz := (p_month at time zone 'UTC' + interval '1 month') at time zone 'UTC';
begin
  insert into private.retired_usage as u (subject_id, period, cost)
  select e.subject_id, e.period, sum(e.cost)
    from public.usage_events e
   where e.occurred_at >= p_month and e.occurred_at < v_until and e.cost > 0
   group by e.subject_id, e.period
  on conflict (subject_id, period) do update set cost = u.cost + excluded.cost;
  -- Its rollups stay sealed.
  delete from private.sealed_events where month = p_month;
  delete from private.sealed_months where month = p_month and sealed_at is null;
  update private.sealed_months set retired_at = now() where month = p_month;
  perform private.sum_seal(p_month);
end
$$;
comment on function private.retire_month(timestamptz) is
  'Keeps what a month''s events debited, before they are dropped; the month''s seal is one of its rollups from then on.';

-- Notes are taken away before anything is read: whoever commits meanwhile leaves a note that stays, and what it stands for is
-- proved again.
create or replace function private.seal_month(p_month timestamptz)
returns boolean
language plpgsql volatile set search_path = ''
as $$
declare
  v_until timestamptz := (p_month at time zone 'UTC' + interval '1 month') at time zone 'UTC';
  v_partition regclass;
  v_faults jsonb;
begin
  select to_regclass('private.' || p.name) into v_partition from private.usage_partitions() p where p.lower_bound = p_month;
  -- Whoever has written to it has not committed, and may have done so before the month was over.
  if exists (
    select from pg_catalog.pg_locks l
     where l.relation = v_partition and l.mode = 'RowExclusiveLock' and l.pid <> pg_backend_pid()
       and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = current_database())
  ) then
    return false;
  end if;
  delete from private.changed_usage where month = p_month;
  delete from private.sealed_events where month = p_month;
  delete from private.sealed_rollups where month = p_month;
  delete from private.sealed_totals where bucket >= p_month and bucket < v_until;
  delete from private.sealed_months where month = p_month;

  if v_partition is not null then
    v_faults := (private.compare_rollups(p_month, v_until)).discrepancies
      || (private.compare_generations(p_month, v_until)).discrepancies;
    if v_faults <> '[]' then
      insert into private.sealed_months (month, fault)
      values (p_month, jsonb_path_query_array(v_faults, '$[0 to 19]'));
      return true;
    end if;
  end if;
  insert into private.sealed_events (month, subject_id, period, events, cost, checksum)
  select p_month, e.subject_id, e.period, e.events, e.cost, e.checksum
    from private.hash_events(p_month, v_until) e where v_partition is not null;
  insert into private.sealed_rollups (month, subject_id, rollups, tracked_prompts, tracked_tokens, checksum)
  select p_month, r.subject_id, r.rollups, r.tracked_prompts, r.tracked_tokens, r.checksum
    from private.hash_rollups(p_month, v_until) r;
  insert into private.sealed_totals select r.* from private.sum_rollups(p_month, v_until) r;
  insert into private.sealed_months (month, sealed_at, retired_at)
  values (p_month, now(), case when v_partition is null then now() end);
  perform private.sum_seal(p_month);
  return true;
end
$$;
comment on function private.seal_month(timestamptz) is
  'Proves a month that is over and seals it, or notes why it cannot be. Returns false while somebody is writing to it.';

create or replace function private.sum_rollups(p_from timestamptz, p_until timestamptz, p_buckets timestamptz[] default null)
returns table (
  bucket timestamptz, events bigint, prompts bigint, input_tokens bigint, output_tokens bigint, total_tokens bigint, cost bigint,
  nano_usd bigint
)
language plpgsql stable set search_path = '' set plan_cache_mode = 'force_custom_plan'
as $$
begin
  return query
    select r.bucket, sum(r.events)::bigint, sum(r.prompts)::bigint, sum(r.input_tokens)::bigint, sum(r.output_tokens)::bigint,
           sum(r.total_tokens)::bigint, sum(r.cost)::bigint, sum(r.nano_usd)::bigint
      from public.usage_rollups r
     where r.bucket >= p_from and r.bucket < p_until and (p_buckets is null or r.bucket = any (p_buckets))
     group by r.bucket;
end
$$;
comment on function private.sum_rollups(timestamptz, timestamptz, timestamptz[]) is
  'Returns what everybody''s rollups add up to in each quarter hour between two times, or in some of them.';

create or replace function private.sum_seal(p_month timestamptz)
returns void
language sql volatile set search_path = ''
as $$
  update private.sealed_months m
     set events = e.events, rollups = r.rollups, checksum = e.checksum + r.checksum
    from (
      select coalesce(sum(s.events), 0) as events, coalesce(sum(s.checksum), 0) as checksum
        from private.sealed_events s where s.month = p_month
    ) e
   cross join (
      select coalesce(sum(s.rollups), 0) as rollups, coalesce(sum(s.checksum), 0) as checksum
        from private.sealed_rollups s where s.month = p_month
    ) r
   where m.month = p_month
$$;
comment on function private.sum_seal(timestamptz) is 'Adds the seals of a month''s subjects up to the month''s own.';

-- A seal counts while what would tell of a change is in force: the triggers, and the events themselves.
create or replace function private.usage_months(p_trust_seals boolean default true)
returns table (month timestamptz, until timestamptz, has_events boolean, is_sealed boolean)
language sql stable set search_path = ''
as $$
  with recursive partitions as materialized (
    select p.lower_bound as month, to_regclass('private.' || p.name) as relation from private.usage_partitions() p
  ),
  watched as (
    select not exists (
      select from pg_catalog.pg_trigger t where t.tgname like 'mark\_changed\_%' and t.tgenabled in ('D', 'R')
    ) as in_force
  ),
  changed as (
    select c.month, count(distinct c.subject_id) as subjects from private.changed_usage c group by c.month
  ),
  -- One look-up by the index a month, instead of reading every total.
  counted(month) as (
    select date_trunc('month', min(t.bucket), 'UTC') from public.usage_totals t
    union all
    select (
             select date_trunc('month', min(t.bucket), 'UTC') from public.usage_totals t
              where t.bucket >= (c.month at time zone 'UTC' + interval '1 month') at time zone 'UTC'
           )
      from counted c where c.month is not null
  ),
  months as (
    select p.month from partitions p
    union
    select c.month from counted c where c.month is not null
    union
    select c.month from changed c
    union
    select s.month from private.sealed_months s
  )
  select m.month, (m.month at time zone 'UTC' + interval '1 month') at time zone 'UTC', p.month is not null,
         p_trust_seals and w.in_force and s.sealed_at is not null and s.fault is null
           and (p.month is null) = (s.retired_at is not null)
           and (
             s.events = 0 or exists (
               select from public.usage_events e
                where e.occurred_at >= m.month
                  and e.occurred_at < (m.month at time zone 'UTC' + interval '1 month') at time zone 'UTC'
             )
           )
           -- Beyond some, reading the whole month is quicker than one subject after the other.
           and coalesce(c.subjects, 0) <= 1000
    from months m
   cross join watched w
    left join partitions p on p.month = m.month
    left join private.sealed_months s on s.month = m.month
    left join changed c on c.month = m.month
$$;
comment on function private.usage_months(boolean) is
  'Returns the months there are events, rollups or seals of, and whether their seal may be trusted.';

create or replace function private.usage_scopes(p_trust_seals boolean default true)
returns table (month timestamptz, until timestamptz, subject_id uuid, has_events boolean)
language sql stable set search_path = ''
as $$
  with months as materialized (
    select * from private.usage_months(p_trust_seals)
  )
  select m.month, m.until, null::uuid, m.has_events from months m where not m.is_sealed
  union all
  select distinct m.month, m.until, c.subject_id, m.has_events
    from months m join private.changed_usage c on c.month = m.month
   where m.is_sealed
$$;
comment on function private.usage_scopes(boolean) is
  'Returns what has to be proved from its rows: whole months without a seal, and subjects of which something changed in sealed ones.';

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
  perform private.enter_period(v_subjects);
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
    insert into private.idempotency_keys (subject_id, key, request_hash, answer)
    values ((p_actor ->> 'id')::uuid, p_key, sha256(convert_to(v_request::text, 'UTF8')), v_answer);
  end if;
  return v_answer;
end
$$;
grant execute on function public.allocate(jsonb, text, uuid, bigint, uuid, text) to service_role;
comment on function public.allocate(jsonb, text, uuid, bigint, uuid, text) is
  'Gives tokens from the pool, takes unused ones back (negative), or moves them between two subjects. Returns the balance, with from for a transfer; raises BUDGET_EXCEEDED, INSUFFICIENT_TOKENS, SELF_TRANSFER, …_NOT_FOUND, IDEMPOTENCY_MISMATCH.';

-- Dropping a partition needs its parent for itself, if only for a moment, and whoever comes after waits behind it. So it gives
-- up at once where somebody reads, and is tried again: each month in a call, and thus a transaction, of its own.
create or replace function public.drop_expired_month(p_retention_months integer)
returns jsonb
language plpgsql volatile security definer set search_path = '' set statement_timeout = '15min' set lock_timeout = '500ms'
as $$
-- Definer: drops partitions, which no API role may.
declare
  v_horizon timestamptz := private.usage_horizon(p_retention_months);
  v_month record;
begin
  select p.name, p.lower_bound, to_char(p.lower_bound at time zone 'UTC', 'YYYY-MM') as label into v_month
    from private.usage_partitions() p
   where (p.lower_bound at time zone 'UTC' + interval '1 month') at time zone 'UTC' <= v_horizon
   order by p.lower_bound limit 1;
  if v_month.name is null then
    return jsonb_build_object('month', null, 'dropped', false);
  end if;
  -- What is too late for a month waits, and is only counted then.
  if not pg_try_advisory_xact_lock(hashtext('public.maintain')) or exists (
    select from pg_catalog.pg_locks l
     where l.relation = to_regclass('private.' || v_month.name) and l.pid <> pg_backend_pid()
       and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = current_database())
  ) then
    return jsonb_build_object('month', v_month.label, 'dropped', false);
  end if;
  perform private.retire_month(v_month.lower_bound);
  execute format('drop table private.%I', v_month.name);
  return jsonb_build_object('month', v_month.label, 'dropped', true);
exception when lock_not_available then
  return jsonb_build_object('month', v_month.label, 'dropped', false);
end
$$;
grant execute on function public.drop_expired_month(integer) to service_role;
comment on function public.drop_expired_month(integer) is
  'Drops the oldest month of usage events that is older than is kept; rollups stay, and what it debited stays in the books. Returns {month, dropped}: no month where none is left to drop, dropped false where somebody is reading and it has to be tried again.';

create or replace function public.finish_reset(p_limit integer default 1000)
returns integer
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes balances, periods and the ledger, which no API role may.
begin
  return private.enter_period(array(
    select b.subject_id from public.balances b
     where b.subject_kind = 'device' and b.period < (select max(p.number) from public.periods p)
     order by b.subject_id
     limit p_limit
  ));
end
$$;
grant execute on function public.finish_reset(integer) to service_role;
comment on function public.finish_reset(integer) is
  'Brings balances that nobody touched since the last reset into the period that runs, so many at a time; returns how many, 0 when all are.';

-- One piece of work a call, so that no transaction is long and whoever calls may stop in between.
create or replace function public.keep_seals()
returns jsonb
language plpgsql volatile security definer set search_path = '' set statement_timeout = '15min' set jit = off
as $$
-- Definer: reads every event and writes the seals, which no API role may.
declare
  v_renewed integer;
  v_month timestamptz;
begin
  -- One server at a time is enough; the others have nothing left to do.
  if not pg_try_advisory_xact_lock(hashtext('public.keep_seals')) then
    return jsonb_build_object('ran', false);
  end if;
  v_renewed := private.renew_seals(1000);
  if v_renewed > 0 then
    return jsonb_build_object('ran', true, 'renewed', v_renewed);
  end if;

  -- A seal that does not hold any more is evidence: it is never written anew by itself, unless there is just much that came late.
  select min(m.month) into v_month
    from private.usage_months() m
    left join private.sealed_months s on s.month = m.month
   where not m.is_sealed and m.until <= now() - interval '1 day'
     and (
       s.month is null
       or (s.sealed_at is null and s.proved_at <= now() - interval '1 day')
       or (
         s.fault is null and (
           select count(distinct c.subject_id) filter (where not c.by_hand) > 1000 and not bool_or(c.by_hand)
             from private.changed_usage c where c.month = m.month
         )
       )
     );
  if v_month is not null then
    return jsonb_build_object(
      'ran', true, 'month', to_char(v_month at time zone 'UTC', 'YYYY-MM'), 'sealed', private.seal_month(v_month)
    );
  end if;

  select s.month into v_month
    from private.sealed_months s
   where s.sealed_at is not null and s.fault is null and s.proved_at <= now() - interval '7 days'
   order by s.proved_at limit 1;
  if v_month is not null then
    return jsonb_build_object('ran', true) || (private.prove_month(v_month) - 'discrepancies');
  end if;
  return jsonb_build_object('ran', true);
end
$$;
grant execute on function public.keep_seals() to service_role;
comment on function public.keep_seals() is
  'Does what is due of this: renews seals of months in which something changed, seals the oldest month that is over since a day, reads a sealed month again after a week. Returns {ran}, with renewed, {month, sealed} or {month, ok, checked} where it did something.';

create or replace function public.list_ledger_months()
returns jsonb
language sql stable security definer set search_path = '' set timezone = 'UTC'
as $$
  -- Definer: no API role may read seals.
  select coalesce(
           jsonb_agg(
             jsonb_build_object(
               'month', to_char(m.month, 'YYYY-MM'), 'sealed', m.is_sealed, 'events', coalesce(s.events, 0),
               'rollups', coalesce(s.rollups, 0), 'checksum', s.checksum::text, 'sealed_at', s.sealed_at,
               'proved_at', s.proved_at, 'retired_at', s.retired_at, 'fault', s.fault
             ) order by m.month
           ), '[]'
         )
    from private.usage_months() m left join private.sealed_months s on s.month = m.month
   where m.month <= now()
$$;
grant execute on function public.list_ledger_months() to service_role;
comment on function public.list_ledger_months() is
  'Returns the months there is usage of, oldest first, with their seals: {month, sealed, events, rollups, checksum, sealed_at, proved_at, retired_at, fault}.';

create or replace function public.list_ledger_months_as(p_actor jsonb)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: no API role may read seals.
begin
  perform private.require_admin(p_actor, 'viewer');
  return public.list_ledger_months();
end
$$;
grant execute on function public.list_ledger_months_as(jsonb) to service_role;
comment on function public.list_ledger_months_as(jsonb) is 'Runs list_ledger_months for an admin.';

create or replace function public.list_period_devices(p_actor jsonb, p_period integer, p_limit integer, p_after uuid default null)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: reads every device's history, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  return (
    select coalesce(jsonb_agg(to_jsonb(page) order by page.device_id), '[]')
      from (
        select b.subject_id as device_id, d.name, b.allocated, b.used
          from (
                 select h.period, h.subject_id, h.allocated, h.used from public.period_balances h
                 union all
                 -- Balances that did not come into the next one yet.
                 select o.period, o.subject_id, o.allocated, o.used from public.balances o
                  where o.subject_kind = 'device' and (o.allocated > 0 or o.used > 0)
                    and o.period < (select max(p.number) from public.periods p)
               ) b
          join public.devices d on d.id = b.subject_id
         where b.period = p_period and (p_after is null or b.subject_id > p_after)
         order by b.subject_id
         limit p_limit
      ) page
  );
end
$$;
grant execute on function public.list_period_devices(jsonb, integer, integer, uuid) to service_role;
comment on function public.list_period_devices(jsonb, integer, integer, uuid) is 'Returns what each device had and used in a closed period, by id; after an id to page on.';

create or replace function public.list_periods(p_actor jsonb, p_limit integer, p_before integer default null)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: reads every device's history, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  return (
    select coalesce(jsonb_agg(to_jsonb(page) order by page.number desc), '[]')
      from (
        select p.number, p.started_at, p.closed_at, p.closed_by, p.default_tokens,
               coalesce(h.devices, 0) as devices, coalesce(h.allocated, 0) as allocated, coalesce(h.used, 0) as used
          from public.periods p
          left join lateral (
            select count(*) as devices, sum(b.allocated)::bigint as allocated, sum(b.used)::bigint as used
              from (
                select allocated, used from public.period_balances where period = p.number
                union all
                -- Those of the one that runs, and those that did not come into it yet.
                select allocated, used from public.balances where period = p.number and subject_kind = 'device'
                   and p.number + 1 >= (select max(n.number) from public.periods n)
              ) b
          ) h on true
         where p_before is null or p.number < p_before
         order by p.number desc
         limit p_limit
      ) page
  );
end
$$;
grant execute on function public.list_periods(jsonb, integer, integer) to service_role;
comment on function public.list_periods(jsonb, integer, integer) is 'Returns budget periods, newest first, with the sums of their devices; before a number to page on.';

-- Safe to run at any moment, by any number of servers at once.
create or replace function public.maintain(p_monthly_tokens bigint default null, p_retention_months integer default null)
returns jsonb
language plpgsql volatile security definer set search_path = '' set statement_timeout = '15min'
as $$
-- Definer: expires holds, resets periods and prunes keys, which no API role may.
declare
  v_subjects uuid[];
  v_lost integer := 0;
  v_keys bigint;
  v_ended integer;
  v_features integer := 0;
  v_reset boolean := false;
begin
  -- One server at a time is enough; the others have nothing left to do.
  if not pg_try_advisory_xact_lock(hashtext('public.maintain')) then
    return jsonb_build_object('ran', false);
  end if;

  perform private.create_months_ahead();
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
    delete from private.idempotency_keys where created_at < now() - interval '48 hours' returning 1
  )
  select count(*) into v_keys from pruned;
  delete from private.login_attempts where window_ends_at < now();
  delete from private.known_addresses where last_login_at < now() - interval '180 days';
  v_ended := private.prune_accounts();
  -- What names were told apart is of use as long as there are events.
  delete from private.rollup_names n
   where n.day < (select min(p.lower_bound) at time zone 'UTC' from private.usage_partitions() p);
  if p_retention_months is not null then
    v_features := private.prune_features(p_retention_months);
  end if;
  return jsonb_build_object(
    'ran', true, 'reset', v_reset, 'expired_subjects', coalesce(cardinality(v_subjects), 0),
    'lost_generations', v_lost, 'pruned_keys', v_keys, 'ended_credentials', v_ended, 'pruned_features', v_features
  );
end
$$;
grant execute on function public.maintain(bigint, integer) to service_role;
comment on function public.maintain(bigint, integer) is
  'Creates partitions ahead, expires holds, settles chat requests whose server went away, prunes idempotency keys, log-in counters and credentials that have ended; with p_monthly_tokens resets at the month''s start, with p_retention_months drops older uses of features. Returns what it did, ran false where another one is at it.';

-- Items are taken per device in the order given, each sees what the ones before it left, and each gets an outcome of its
-- own. Devices are locked in id order, so concurrent calls cannot deadlock.
create or replace function public.meter_devices(p_items jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: the only writer of balances, events, rollups and holds; no API role may write them itself.
declare
  v_item record;
  v_device uuid;
  v_available bigint;
  v_reserved bigint;
  v_used bigint;
  v_charge bigint;
  v_answer jsonb;
  v_answers jsonb[] := '{}';
  v_keys text[] := '{}';
  v_key_positions integer[] := '{}';
  v_earlier private.idempotency_keys;
  v_hash bytea;
  v_position integer;
  v_id uuid;
  v_write uuid[];
  v_events public.usage_events[] := '{}';
  v_holds public.reservations[] := '{}';
  v_settled uuid[] := '{}';
  v_settled_events uuid[] := '{}';
  v_released bigint[] := '{}';
  v_stored private.idempotency_keys[] := '{}';
begin
  select array_agg(distinct i.device_id) into v_write
    from jsonb_to_recordset(p_items) as i(op text, device_id uuid, reserve boolean)
   where i.op = 'debit' or i.reserve
      or exists (
        select from public.balances b
         where b.subject_id = i.device_id and b.period < (select max(p.number) from public.periods p)
      )
      or exists (
        select from public.reservations r
         where r.subject_id = i.device_id and r.status = 'held' and r.expires_at <= now()
      );
  if v_write is not null then
    perform from public.balances b where b.subject_id = any (v_write) order by b.subject_id for update;
    perform private.enter_period(v_write);
    perform private.expire_reservations(v_write);
  end if;

  for v_item in
    select i.ord::integer as ord, i.op, i.device_id, i.prompt_count, coalesce(i.reserve, false) as reserve,
           i.key, i.reservation_id, i.model,
           d.id is not null and d.token_version = i.token_version as known, d.blocked, d.user_id, o.suspended_at,
           b.allocated, b.used, b.reserved, b.period,
           coalesce(c.cost, standard.cost, 1)::bigint * i.prompt_count as cost,
           r.status as hold_status, r.amount as hold_amount,
           k.request_hash as earlier_hash, k.answer as earlier_answer
      from (
        select ord, op, device_id, token_version, lower(btrim(model)) as model, prompt_count, reserve, key, reservation_id
          from rows from (
            jsonb_to_recordset(p_items) as (
              op text, device_id uuid, token_version integer, model text, prompt_count integer,
              reserve boolean, key text, reservation_id uuid
            )
          ) with ordinality as item(op, device_id, token_version, model, prompt_count, reserve, key, reservation_id, ord)
      ) i
      left join public.devices d on d.id = i.device_id
      left join public.users o on o.id = d.user_id
      left join public.balances b on b.subject_id = d.id
      left join public.model_costs c on c.model = i.model
      left join public.model_costs standard on standard.model = '*'
      left join public.reservations r on r.id = i.reservation_id and r.subject_id = i.device_id
      left join private.idempotency_keys k on k.subject_id = i.device_id and k.key = i.key
     order by i.device_id, i.ord
  loop
    if v_device is distinct from v_item.device_id then
      v_device := v_item.device_id;
      v_available := v_item.allocated - v_item.used - v_item.reserved;
      v_reserved := v_item.reserved;
      v_used := v_item.used;
      v_keys := '{}';
      v_key_positions := '{}';
    end if;

    v_hash := null;
    v_answer := case
      when not v_item.known then '{"code": "INVALID_TOKEN"}'::jsonb
      when v_item.blocked then '{"code": "DEVICE_BLOCKED"}'::jsonb
      when v_item.suspended_at is not null then '{"code": "ACCOUNT_SUSPENDED"}'::jsonb
    end;

    -- A key seen before, in an earlier call or earlier in this one, repeats its answer.
    if v_answer is null and v_item.key is not null then
      v_hash := sha256(convert_to(
        jsonb_build_array(v_item.op, v_item.reserve, v_item.model, v_item.prompt_count, v_item.reservation_id)::text, 'UTF8'
      ));
      v_earlier := row(v_device, v_item.key, v_item.earlier_hash, v_item.earlier_answer, null);
      v_position := array_position(v_keys, v_item.key);
      if v_position is not null then
        v_earlier := v_stored[v_key_positions[v_position]];
      end if;
      v_answer := case
        when v_earlier.request_hash is null then null
        when v_earlier.request_hash = v_hash then v_earlier.answer
        else '{"code": "IDEMPOTENCY_MISMATCH"}'::jsonb
      end;
    end if;

    if v_answer is null and v_item.op = 'balance' then
      v_answer := jsonb_build_object(
        'allocated', v_item.allocated, 'used', v_used, 'reserved', v_reserved, 'remaining', v_available
      );
    elsif v_answer is null and v_item.op = 'check' then
      v_answer := jsonb_build_object(
        'can_use', v_available >= v_item.cost, 'tokens_needed', v_item.cost, 'remaining', v_available
      );
      if v_item.reserve and v_available >= v_item.cost then
        v_id := gen_random_uuid();
        v_holds := v_holds || row(
          v_id, v_device, v_item.cost, 'held', v_item.model, v_item.prompt_count, null,
          now() + interval '10 minutes', now(), null
        )::public.reservations;
        v_available := v_available - v_item.cost;
        v_reserved := v_reserved + v_item.cost;
        v_answer := v_answer || jsonb_build_object(
          'remaining', v_available, 'reservation_id', v_id, 'expires_at', now() + interval '10 minutes'
        );
      end if;
    elsif v_answer is null and v_item.op = 'debit' then
      -- An expired hold guarantees nothing: its usage is debited like any other.
      v_charge := case
        when v_item.hold_status = 'held' and v_item.reservation_id <> all (v_settled) then v_item.hold_amount
        else 0
      end;
      v_answer := case
        when v_item.reservation_id is not null and v_item.hold_status is null
          then '{"code": "RESERVATION_NOT_FOUND"}'::jsonb
        when v_item.hold_status = 'settled' or v_item.reservation_id = any (v_settled)
          then '{"code": "RESERVATION_SETTLED"}'::jsonb
        when v_available + v_charge < v_item.cost
          then jsonb_build_object(
            'code', 'INSUFFICIENT_TOKENS', 'requested', v_item.cost, 'remaining', v_available + v_charge
          )
      end;
      if v_answer is null then
        v_id := gen_random_uuid();
        v_events := v_events || row(
          v_id, v_device, v_item.user_id, v_device, 'device', 'unknown', v_item.model, v_item.prompt_count,
          0, 0, 0, v_item.cost, 'client_reported', v_item.period, null, now(), now(), null
        )::public.usage_events;
        if v_item.hold_status = 'held' then
          v_settled := v_settled || v_item.reservation_id;
          v_settled_events := v_settled_events || v_id;
          v_released := v_released || v_charge;
        end if;
        v_available := v_available + v_charge - v_item.cost;
        v_reserved := v_reserved - v_charge;
        v_used := v_used + v_item.cost;
        v_answer := jsonb_build_object('event_id', v_id, 'tokens_used', v_item.cost, 'remaining', v_available);
      end if;
    elsif v_answer is null then
      raise exception 'unknown metering operation %', v_item.op using errcode = '22023';
    end if;

    -- Only what took effect is remembered: a refused write moved nothing and may be tried again.
    if v_hash is not null and v_earlier.request_hash is null
       and (v_answer ? 'event_id' or v_answer ? 'reservation_id') then
      v_stored := v_stored || row(v_device, v_item.key, v_hash, v_answer, now())::private.idempotency_keys;
      v_keys := v_keys || v_item.key;
      v_key_positions := v_key_positions || cardinality(v_stored);
    end if;
    v_answers[v_item.ord] := v_answer;
  end loop;

  if cardinality(v_events) > 0 then
    perform private.record_usage_events(v_events);
  end if;
  if cardinality(v_holds) > 0 then
    insert into public.reservations select h.* from unnest(v_holds) h;
  end if;
  if cardinality(v_settled) > 0 then
    update public.reservations r
       set status = 'settled', closed_at = now(), usage_event_id = s.event_id
      from unnest(v_settled, v_settled_events) as s(id, event_id)
     where r.id = s.id;
  end if;
  if cardinality(v_stored) > 0 then
    insert into private.idempotency_keys select k.* from unnest(v_stored) k;
  end if;

  update public.balances b
     set used = b.used + change.used, reserved = b.reserved + change.reserved, updated_at = now()
    from (
      select subject_id, sum(used)::bigint as used, sum(reserved)::bigint as reserved
        from (
          select e.subject_id, e.cost as used, 0 as reserved from unnest(v_events) e
          union all
          select h.subject_id, 0, h.amount from unnest(v_holds) h
          union all
          select r.subject_id, 0, -released.amount
            from unnest(v_settled, v_released) as released(id, amount)
            join public.reservations r on r.id = released.id
        ) parts
       group by subject_id
    ) change
   where b.subject_id = change.subject_id;

  return to_jsonb(v_answers);
end
$$;
grant execute on function public.meter_devices(jsonb) to service_role;
comment on function public.meter_devices(jsonb) is
  'Makes balance reads, checks, holds and debits of devices in one transaction. Takes an array of {op, device_id, token_version, model, prompt_count, reserve, key, reservation_id}, returns an array of outcomes in the same order: the result, or {code, …} where the item was refused.';

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
    perform private.enter_period(array[v_device.id]);
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
    'remaining', v_balance.allocated - v_balance.used - v_balance.reserved
  ) || case when v_user_id is null then '{}'::jsonb else '{"linked": true}' end;
end
$$;
grant execute on function public.register_device(text, text, bigint, jsonb, text, jsonb) to service_role;
comment on function public.register_device(text, text, bigint, jsonb, text, jsonb) is
  'Registers a device or finds it again by its owner and fingerprint, and links it to the caller. Takes the secret''s SHA-256 in hex, and {id, version} of a verified token of the device. Returns {device_id, token_version, created, allocated, remaining}, with a caller also linked; raises DEVICE_BLOCKED, DEVICE_SECRET_INVALID, and DEVICE_LIMIT where the caller''s tier has no room for another.';

create or replace function public.start_period_when_due(p_default_tokens bigint)
returns boolean
language plpgsql volatile security definer set search_path = '' set statement_timeout = '15min'
as $$
-- Definer: writes balances, periods and pools, which no API role may.
begin
  return private.reset_when_due(p_default_tokens);
end
$$;
grant execute on function public.start_period_when_due(bigint) to service_role;
comment on function public.start_period_when_due(bigint) is
  'Begins the next budget period where the one that runs began in an earlier month (UTC); returns whether it did. The devices'' balances come into it when they are next touched, or by finish_reset.';

create or replace function public.summarize_usage(
  p_from text, p_to text, p_time_zone text, p_group_by text[], p_subjects uuid[] default public.own_subjects()
)
returns jsonb
language plpgsql stable set search_path = '' set timezone = 'UTC'
  -- The planner takes every quarter hour for a group of its own, and would sort them all on disk, to group and to join them.
  set work_mem = '32MB' set enable_mergejoin = off set jit = off
as $$
declare
  v_range record;
  v_unit text := (select g from unnest(p_group_by) g where g in ('day', 'week', 'month') limit 1);
  v_names text[] := array(
    select n from unnest(array['provider', 'model', 'source', 'device', 'user']) with ordinality as known(n, position)
     where n = any (p_group_by) order by position
  );
  v_subjects boolean := v_names && '{device,user}';
  v_periods date[];
  v_starts timestamptz[];
  -- How many groups make 10,000 rows.
  v_groups integer;
  v_answer jsonb;
begin
  select * into v_range from public.usage_range(p_from, p_to, p_time_zone);
  if v_unit is not null then
    select array_agg(p.day::date order by p.day), array_agg(public.day_start(p.day::date, p_time_zone) order by p.day)
      into v_periods, v_starts
      from generate_series(
        date_trunc(v_unit, v_range.range_from at time zone p_time_zone),
        (v_range.range_to - interval '1 microsecond') at time zone p_time_zone,
        ('1 ' || v_unit)::interval
      ) as p(day);
  end if;
  v_groups := 10000 / coalesce(cardinality(v_periods), 1);

  -- Names of a closed list only, and only those that are asked for, so that nothing is grouped, compared or shown in vain.
  execute format(
    $query$
      with sums as materialized (
        select width_bucket(r.bucket, $1) as period, %1$s as provider, %2$s as model, %3$s as source, %4$s as subject_id,
               sum(r.events) as events, sum(r.prompts) as prompts, sum(r.input_tokens) as input_tokens,
               sum(r.output_tokens) as output_tokens, sum(r.total_tokens) as total_tokens, sum(r.cost) as cost,
               sum(r.nano_usd) as nano_usd
          from %5$s r
         where %6$s and r.bucket >= $3 and r.bucket < $4
         group by 1, 2, 3, 4, 5
      ),
      named as materialized (
        select coalesce(s.period, 0) as period, s.provider, s.model, s.source, %7$s as device, %8$s as "user",
               s.events, s.prompts, s.input_tokens, s.output_tokens, s.total_tokens, s.cost, s.nano_usd
          from sums s %9$s
      ),
      ranked as materialized (
        select n.provider, n.model, n.source, n.device, n."user", count(*) over () as groups,
               row_number() over (
                 order by sum(n.events) desc, n.provider nulls first, n.model nulls first, n.source nulls first,
                          n.device nulls first, n."user" nulls first
               ) as rank
          from named n group by 1, 2, 3, 4, 5
      ),
      -- Where all of them would be too many rows, the rest is one group, the last.
      cells as materialized (
        select n.period, case when r.groups <= $5 then r.rank else least(r.rank, $5) end as rank,
               sum(n.events) as events, sum(n.prompts) as prompts, sum(n.input_tokens) as input_tokens,
               sum(n.output_tokens) as output_tokens, sum(n.total_tokens) as total_tokens, sum(n.cost) as cost,
               sum(n.nano_usd) as nano_usd
          from named n
          join ranked r
            on coalesce(r.provider, '') = coalesce(n.provider, '') and coalesce(r.model, '') = coalesce(n.model, '')
           and coalesce(r.source, '') = coalesce(n.source, '') and coalesce(r.device, $6) = coalesce(n.device, $6)
           and coalesce(r."user", $6) = coalesce(n."user", $6)
         group by 1, 2
      ),
      groups as (
        select r.rank, f.is_rest, r.provider, r.model, r.source, case when not f.is_rest then r.device end as device,
               case when not f.is_rest then r."user" end as "user"
          from ranked r cross join lateral (select r.groups > $5 and r.rank = $5 as is_rest) f
         where r.rank <= $5
        union all
        -- Without names to group by, days without use are days, too.
        select 1, false, null, null, null, null, null where %10$L and not exists (select from ranked)
      ),
      periods as (
        select coalesce(p.period, 0) as period, p.day
          from (select 1) one left join unnest($7) with ordinality as p(day, period) on true
      ),
      series as (
        select jsonb_build_object(
                 %11$s 'events', coalesce(c.events, 0), 'prompts', coalesce(c.prompts, 0),
                 'input_tokens', coalesce(c.input_tokens, 0), 'output_tokens', coalesce(c.output_tokens, 0),
                 'total_tokens', coalesce(c.total_tokens, 0), 'cost', coalesce(c.cost, 0),
                 'nano_usd', coalesce(c.nano_usd, 0)
               ) || case when g.is_rest then '{"other": true}'::jsonb else '{}' end as item,
               p.period, g.*
          from periods p
         cross join groups g
          left join cells c on c.period = p.period and c.rank = g.rank
         where %12$L
      ),
      totals as (
        select jsonb_build_object(
          'events', coalesce(sum(c.events), 0), 'prompts', coalesce(sum(c.prompts), 0),
          'input_tokens', coalesce(sum(c.input_tokens), 0), 'output_tokens', coalesce(sum(c.output_tokens), 0),
          'total_tokens', coalesce(sum(c.total_tokens), 0), 'cost', coalesce(sum(c.cost), 0),
          'nano_usd', coalesce(sum(c.nano_usd), 0)
        ) as item from cells c
      ),
      listed as (
        select coalesce(
                 jsonb_agg(
                   s.item order by s.period, s.is_rest, s.provider nulls first, s.model nulls first, s.source nulls first,
                                   s.device nulls first, s."user" nulls first
                 ), '[]'
               ) as items from series s
      )
      select jsonb_build_object('totals', t.item, 'series', l.items) from totals t cross join listed l
    $query$,
    case when 'provider' = any (v_names) then 'r.provider' else 'null::text' end,
    case when 'model' = any (v_names) then 'r.model' else 'null::text' end,
    case when 'source' = any (v_names) then 'r.source' else 'null::text' end,
    case when v_subjects then 'r.subject_id' else 'null::uuid' end,
    -- Everybody's use is summed already. It has no row-level security, and nobody but an admin's function may read it.
    case
      when p_subjects is null and v_names = '{}' and has_table_privilege('public.usage_totals', 'select') then 'public.usage_totals'
      else 'public.usage_rollups'
    end,
    case when p_subjects is null then '$2 is null' else 'r.subject_id = any ($2)' end,
    case when 'device' = any (v_names) then 'd.id' else 'null::uuid' end,
    case
      when 'user' = any (v_names) then 'coalesce(d.user_id, case when d.id is null then s.subject_id end)'
      else 'null::uuid'
    end,
    case when v_subjects then 'left join public.devices d on d.id = s.subject_id' else '' end,
    v_names = '{}',
    case when v_unit is not null then format('%L, p.day, ', v_unit) else '' end || coalesce((
      select string_agg(
               case
                 when n in ('device', 'user') then format('%L, g.%I, ', n, n)
                 else format('%L, case when g.is_rest then ''other'' else g.%I end, ', n, n)
               end, '' order by position
             )
        from unnest(v_names) with ordinality as asked(n, position)
    ), ''),
    cardinality(p_group_by) > 0
  )
  into v_answer
  using v_starts, p_subjects, v_range.range_from, v_range.range_to, v_groups, '00000000-0000-0000-0000-000000000000'::uuid,
        v_periods;
  return v_answer || jsonb_build_object('from', v_range.range_from, 'to', v_range.range_to, 'time_zone', p_time_zone);
end
$$;
grant execute on function public.summarize_usage(text, text, text, text[], uuid[]) to authenticated;
comment on function public.summarize_usage(text, text, text, text[], uuid[]) is
  'Returns usage of the caller and their devices in a range, from the rollups: {from, to, time_zone, totals, series}, grouped by any of day, week, month (one of them), provider, model, source, device, user; periods without use are there with zeros. Of more than 10,000 rows the groups used least are one, marked by other. Raises RANGE_NOT_VALID.';

create or replace function public.verify_ledger(p_full boolean default false)
returns table (name text, ok boolean, checked bigint, discrepancies jsonb)
language plpgsql stable security definer set search_path = '' set statement_timeout = '15min'
  -- Compiling the many expressions costs more than it saves.
  set jit = off
as $$
-- Definer: reads every subject's rows, which no API role may. Stable: one snapshot for all checks.
begin
  return query
    select p.title, p.discrepancies = '[]', p.checked, p.discrepancies
      from (
        select * from private.prove_balances(not p_full)
        union all
        select * from private.prove_usage(not p_full)
        union all
        select * from private.prove_generations(not p_full)
        union all
        select * from private.prove_entries()
        union all
        select * from private.prove_seals(p_full)
      ) p
     order by p.place;
end
$$;
grant execute on function public.verify_ledger(boolean) to service_role;
comment on function public.verify_ledger(boolean) is
  'Recomputes every balance, hold, rollup, counter, generation and paid grant from the rows behind it; of months that are sealed only what changed since, unless p_full. One row per check; ok is false where discrepancies lists differences.';

create or replace function public.verify_month(p_month text)
returns jsonb
language plpgsql volatile security definer set search_path = '' set statement_timeout = '15min' set jit = off
as $$
-- Definer: reads every event and writes the seals, which no API role may.
declare
  v_month timestamptz := to_date(p_month, 'YYYY-MM')::timestamp at time zone 'UTC';
begin
  if not exists (select from private.sealed_months s where s.month = v_month and s.sealed_at is not null) then
    raise sqlstate 'PT404' using message = 'MONTH_NOT_SEALED';
  end if;
  return private.prove_month(v_month);
end
$$;
grant execute on function public.verify_month(text) to service_role;
comment on function public.verify_month(text) is
  'Reads all of a sealed month (YYYY-MM) again: {month, ok, checked, discrepancies}; raises MONTH_NOT_SEALED.';

create or replace function public.verify_month_as(p_actor jsonb, p_month text)
returns jsonb
language plpgsql volatile security definer set search_path = '' set statement_timeout = '15min'
as $$
-- Definer: verify_month reads every event.
begin
  perform private.require_admin(p_actor);
  return public.verify_month(p_month);
end
$$;
grant execute on function public.verify_month_as(jsonb, text) to service_role;
comment on function public.verify_month_as(jsonb, text) is 'Runs verify_month for an admin; raises MONTH_NOT_SEALED.';

reset check_function_bodies;

-- What changes in months that are over is noted, so that their seals stay right. The conditions keep the notes away from
-- what is written every day: a month is sealed a day after its end at the earliest.
create or replace trigger mark_changed_events
  after insert on public.usage_events
  for each row when (new.occurred_at < clock_timestamp() - interval '24 hours')
  execute function private.mark_changed_event();
create or replace trigger mark_changed_events_later
  after update or delete on public.usage_events
  for each row execute function private.mark_changed_event();

create or replace trigger mark_changed_rollups
  after insert on public.usage_rollups
  for each row when (new.bucket < clock_timestamp() - interval '24 hours')
  execute function private.mark_changed_rollup();
create or replace trigger mark_changed_rollups_update
  after update on public.usage_rollups
  for each row when (least(old.bucket, new.bucket) < clock_timestamp() - interval '24 hours')
  execute function private.mark_changed_rollup();
create or replace trigger mark_changed_rollups_later
  after delete on public.usage_rollups
  for each row execute function private.mark_changed_rollup();
create or replace trigger mark_changed_rollups_all
  after truncate on public.usage_rollups
  for each statement execute function private.break_seals();
create or replace trigger mark_changed_events_all
  after truncate on public.usage_events
  for each statement execute function private.break_seals();

create or replace trigger mark_changed_generations
  after update on public.generations
  for each row when (
    old.provenance is not null and (
      old.id, old.subject_id, old.input_tokens, old.output_tokens, old.uncollected, old.input_weight, old.output_weight
    ) is distinct from (
      new.id, new.subject_id, new.input_tokens, new.output_tokens, new.uncollected, new.input_weight, new.output_weight
    )
  )
  execute function private.mark_changed_generation();
create or replace trigger mark_changed_generations_later
  after delete on public.generations
  for each row execute function private.mark_changed_generation();
create or replace trigger mark_changed_reservations
  after update on public.reservations
  for each row when (
    old.closed_at is not null
    and (old.id, old.subject_id, old.status, old.closed_at) is distinct from (new.id, new.subject_id, new.status, new.closed_at)
  )
  execute function private.mark_changed_reservation();
create or replace trigger mark_changed_corrections
  after insert on public.ledger_entries
  for each row when (new.kind = 'correction')
  execute function private.mark_changed_correction();

-- Notes the SHA-256 of the text above.
select private.record_migration('20261128002311', 'a8750486ffa0e269bf490f50e78cb8519383dd69341da042d0a33598923eddae');
