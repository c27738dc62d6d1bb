-- Metrics, alerts and webhooks; changes by hand are written down or refused; metering and chat take less time and room;
-- people see their devices and plans; admins get lists, previews and undo for their console.

-- As in every function: names are qualified, and what changes rows here is not a change by hand.
set search_path = '';

-- Balances and pools warn before they end, and events are sent to webhooks: both are written in the transaction of what
-- causes them.

-- Columns without a value: the next debit of each balance begins to measure, so nothing is written now.
alter table public.balances
  add column if not exists alert_at bigint,
  add column if not exists alert_base bigint,
  add column if not exists alert_period integer,
  add column if not exists alert_allocated bigint,
  add column if not exists alerted smallint,
  add column if not exists exhausted boolean;
comment on column public.balances.alert_at is 'Tokens used from which on a debit looks at the thresholds again; null where that is with the next one.';
comment on column public.balances.alert_base is 'Tokens used when the measuring of thresholds began.';
comment on column public.balances.alert_period is 'The budget period alert_at was worked out in.';
comment on column public.balances.alert_allocated is 'The allocation alert_at was worked out with.';
comment on column public.balances.alerted is 'The highest threshold that was announced since, in percent.';
comment on column public.balances.exhausted is 'Whether it was announced since that nothing is left.';
alter table public.budgets
  add column if not exists alert_period integer,
  add column if not exists alert_total bigint,
  add column if not exists alerted smallint;
comment on column public.budgets.alert_period is 'The budget period thresholds are measured in.';
comment on column public.budgets.alert_total is 'The size thresholds are measured with.';
comment on column public.budgets.alerted is 'The highest threshold of the pool that was announced since, in percent.';

create table if not exists private.ledger_checks (
  id bigint generated always as identity primary key,
  checked_at timestamptz not null default now(),
  milliseconds integer not null check (milliseconds >= 0),
  failing text[] not null,
  discrepancies integer not null check (discrepancies >= 0),
  digest text not null
);
comment on table private.ledger_checks is 'When the books were last proved, and what came of it; kept for 90 days.';
comment on column private.ledger_checks.id is 'Counts up.';
comment on column private.ledger_checks.checked_at is 'When it was.';
comment on column private.ledger_checks.milliseconds is 'How long it took.';
comment on column private.ledger_checks.failing is 'The checks that found something.';
comment on column private.ledger_checks.discrepancies is 'How many discrepancies they found.';
comment on column private.ledger_checks.digest is 'MD5 of the discrepancies: the same ones are told once.';
alter table private.ledger_checks enable row level security;

-- Who is told of what happens here, and what was told them: deliveries are written in the transaction of their cause.

create table if not exists private.webhook_endpoints (
  id uuid primary key default gen_random_uuid(),
  url text not null check (length(url) between 1 and 2000),
  events text[] not null check (cardinality(events) between 1 and 50),
  description text check (length(description) <= 200),
  sealed_secret bytea not null check (length(sealed_secret) between 1 and 1024),
  created_by text not null,
  created_at timestamptz not null default now(),
  disabled_at timestamptz
);
comment on table private.webhook_endpoints is 'Addresses that events are sent to.';
comment on column private.webhook_endpoints.id is 'The endpoint''s id.';
comment on column private.webhook_endpoints.url is 'Where events are sent by POST.';
comment on column private.webhook_endpoints.events is 'The types of events it gets.';
comment on column private.webhook_endpoints.description is 'What it is for, in the words of whoever made it.';
comment on column private.webhook_endpoints.sealed_secret is 'The secret events are signed with, encrypted (AES-256-GCM) with a key derived from JWT_SECRET.';
comment on column private.webhook_endpoints.created_by is 'The admin who made it.';
comment on column private.webhook_endpoints.created_at is 'When it was made.';
comment on column private.webhook_endpoints.disabled_at is 'When it answered 410 Gone, and gets nothing more since.';

create table if not exists private.webhook_deliveries (
  id bigint generated always as identity primary key,
  event_id uuid not null,
  endpoint_id uuid not null references private.webhook_endpoints (id) on delete cascade,
  type text not null,
  data jsonb not null,
  occurred_at timestamptz not null default now(),
  status text not null default 'pending' check (status in ('pending', 'delivered', 'failed')),
  attempts integer not null default 0 check (attempts >= 0),
  due_at timestamptz not null default now(),
  attempted_at timestamptz,
  response_status integer,
  failure text check (length(failure) <= 100)
);
create index if not exists webhook_deliveries_pending_idx on private.webhook_deliveries (endpoint_id, id) where status = 'pending';
create index if not exists webhook_deliveries_endpoint_idx on private.webhook_deliveries (endpoint_id, id);
create index if not exists webhook_deliveries_settled_idx on private.webhook_deliveries (attempted_at) where status <> 'pending';
comment on table private.webhook_deliveries is 'Events on their way to endpoints, and for a while those that arrived (7 days) or were given up (30 days).';
comment on column private.webhook_deliveries.id is 'Counts up; events reach an endpoint in this order while it answers.';
comment on column private.webhook_deliveries.event_id is 'The event, the same at every endpoint and every attempt: the header webhook-id.';
comment on column private.webhook_deliveries.endpoint_id is 'Where it goes.';
comment on column private.webhook_deliveries.type is 'What happened.';
comment on column private.webhook_deliveries.data is 'The particulars: ids and numbers, no names or addresses.';
comment on column private.webhook_deliveries.occurred_at is 'When it happened.';
comment on column private.webhook_deliveries.status is 'pending, delivered, or failed after the last attempt.';
comment on column private.webhook_deliveries.attempts is 'How often it was tried, the attempt under way included.';
comment on column private.webhook_deliveries.due_at is 'When it is to be tried next. While a server tries it, when another one may.';
comment on column private.webhook_deliveries.attempted_at is 'When it was tried last.';
comment on column private.webhook_deliveries.response_status is 'The HTTP status it was answered with last.';
comment on column private.webhook_deliveries.failure is 'Why the last attempt failed, as a code.';
-- No policy and no grant: only functions with their definer's rights reach these.
alter table private.webhook_endpoints enable row level security;
alter table private.webhook_deliveries enable row level security;

-- Who is warned before tokens run out.

create table if not exists private.alert_settings (
  id boolean primary key default true check (id),
  device_thresholds smallint[] not null default '{80,100}' check (cardinality(device_thresholds) <= 10),
  user_thresholds smallint[] not null default '{80,100}' check (cardinality(user_thresholds) <= 10),
  pool_thresholds smallint[] not null default '{80,100}' check (cardinality(pool_thresholds) <= 10),
  mail_people boolean not null default false,
  mail_to text[] not null default '{}' check (cardinality(mail_to) <= 10),
  updated_at timestamptz not null default now()
);
comment on table private.alert_settings is 'One row: at which shares of a balance or pool somebody is warned, and who gets mail.';
comment on column private.alert_settings.id is 'Always true.';
comment on column private.alert_settings.device_thresholds is 'Percent of a device''s tokens in a budget period, ascending.';
comment on column private.alert_settings.user_thresholds is 'Percent of what a person had left when tokens last came in, ascending.';
comment on column private.alert_settings.pool_thresholds is 'Percent of a pool that is handed out, ascending.';
comment on column private.alert_settings.mail_people is 'Whether people are mailed about their own balance and their devices''.';
comment on column private.alert_settings.mail_to is 'Addresses of admins who are mailed about all of them.';
comment on column private.alert_settings.updated_at is 'When it last changed.';

create table if not exists private.alert_mails (
  id uuid primary key default gen_random_uuid(),
  user_id uuid references public.users (id) on delete cascade,
  recipient text check (length(recipient) between 3 and 320),
  type text not null,
  data jsonb not null,
  occurred_at timestamptz not null default now(),
  constraint alert_mails_one_recipient check (num_nonnulls(user_id, recipient) = 1)
);
create index if not exists alert_mails_user_idx on private.alert_mails (user_id);
comment on table private.alert_mails is 'Mails about alerts that a server has yet to write: only servers have the key mails are sealed with.';
comment on column private.alert_mails.id is 'The row''s id.';
comment on column private.alert_mails.user_id is 'The person it is for.';
comment on column private.alert_mails.recipient is 'The admin''s address it is for.';
comment on column private.alert_mails.type is 'What happened, as webhooks call it.';
comment on column private.alert_mails.data is 'The particulars, as webhooks get them.';
comment on column private.alert_mails.occurred_at is 'When it happened.';
-- No policy and no grant: only functions with their definer's rights reach these.
alter table private.alert_settings enable row level security;
alter table private.alert_mails enable row level security;
insert into private.alert_settings (id) values (true) on conflict (id) do nothing;

-- Holds and settlements of chat requests take less time: notes are written set-wise, no kept plan reads a table whole that
-- has grown since, and the hold of a generation is not looked up once more for a foreign key.

alter table public.generations drop constraint if exists generations_id_fkey;

-- A change of thresholds reaches the balances some at a time, and what waits for disabled endpoints alerts nobody.
alter table private.alert_settings add column if not exists renewing_after uuid;
comment on column private.alert_settings.renewing_after is 'After a change of thresholds: the balances beyond this id have yet to be told; null when all are.';
create index if not exists webhook_deliveries_failed_idx on private.webhook_deliveries (endpoint_id, id) where status = 'failed';

create index if not exists audit_log_actor_idx on public.audit_log (actor, id);
create index if not exists audit_log_action_idx on public.audit_log (action, id);
create index if not exists audit_log_time_idx on public.audit_log (created_at, id);
create index if not exists devices_blocked_idx on public.devices (created_at, id) where blocked and deleted_at is null;
create index if not exists devices_name_idx on public.devices (name, id) where deleted_at is null;
create unique index if not exists ledger_entries_undo_idx
  on public.ledger_entries (reference, subject_id) where reference like 'undo %';
comment on column public.ledger_entries.reference is
  'What it belongs to; the two legs of a transfer share it, and undo … names the entry or transfer that is undone.';

-- Batches of metering look up each device once and add to rollups at once; keys and the index of times take less room.

-- The keys of devices get a table of their own, with nothing in it that can be found otherwise. Those there are move, so
-- that what is sent again afterwards gets the same answer: a debit's event keeps the id it was told.
create table if not exists private.device_keys (
  key uuid primary key,
  request_hash bigint not null,
  created_at timestamptz not null default now(),
  remaining bigint,
  answer jsonb
);
create index if not exists device_keys_hour_idx on private.device_keys (date_bin('1 hour', created_at, 'epoch'));
alter table private.device_keys enable row level security;
comment on table private.device_keys is 'The idempotency keys of devices'' debits and holds, so that a retry gets the same answer and is charged once.';
comment on column private.device_keys.key is 'The key as device_key makes it, which is private to a device.';
comment on column private.device_keys.request_hash is 'The first 64 bits of the SHA-256 of what was asked: the same key with another request is refused.';
comment on column private.device_keys.created_at is 'When it was first used; kept for at least 48 hours. For a debit also when its event happened, whose id is that of keyed_event_id.';
comment on column private.device_keys.remaining is 'What a debit left.';
comment on column private.device_keys.answer is 'The original answer; null for a debit, whose answer is made of its event and of what it left.';
with moved as (
  delete from private.idempotency_keys k using public.balances b
   where b.subject_id = k.subject_id and b.subject_kind = 'device'
  returning k.*
)
insert into private.device_keys (key, request_hash, created_at, answer)
select encode(substr(sha256(uuid_send(m.subject_id) || uuid_send(m.key)), 1, 16), 'hex')::uuid, m.request_hash, m.created_at,
       coalesce(m.answer, jsonb_build_object(
         'event_id', overlay(overlay(encode(substr(
           sha256(uuid_send(m.subject_id) || uuid_send(m.key) || timestamptz_send(m.created_at)), 1, 16), 'hex')
           placing '8' from 13) placing '8' from 17)::uuid,
         'tokens_used', m.tokens_used, 'remaining', m.remaining
       ))
  from moved m
on conflict (key) do nothing;
alter table private.idempotency_keys alter column answer set not null;
comment on table private.idempotency_keys is 'The answers to people''s and admins'' writes that carried an idempotency key, so that a retry gets the same one and is charged once.';
comment on column private.idempotency_keys.subject_id is 'Keys are private to a person or admin.';
comment on column private.idempotency_keys.answer is 'The original answer.';
comment on column private.idempotency_keys.tokens_used is 'Always null, as devices have keys of their own.';
comment on column private.idempotency_keys.remaining is 'Always null, as devices have keys of their own.';

-- Half as big or less. New events wait while it is made.
create index if not exists usage_events_time_idx on public.usage_events (occurred_at);
drop index if exists public.usage_events_newest_idx;

-- An account's summary keeps its plans; everybody's usage is summed up per day that is over.



create table if not exists private.daily_usage (
  day date not null,
  provider text not null,
  model text not null,
  source text not null,
  events bigint not null,
  prompts bigint not null,
  input_tokens bigint not null,
  output_tokens bigint not null,
  total_tokens bigint not null,
  cost bigint not null,
  nano_usd bigint not null,
  primary key (day, provider, model, source)
);
comment on table private.daily_usage is 'Rollups of everybody summed per day that is over; see summed_days for which may be used.';
comment on column private.daily_usage.day is 'The day (UTC).';
comment on column private.daily_usage.provider is 'The AI provider.';
comment on column private.daily_usage.model is 'The model.';
comment on column private.daily_usage.source is 'Which API recorded the events.';
comment on column private.daily_usage.events is 'Number of events.';
comment on column private.daily_usage.prompts is 'Sum of their prompts.';
comment on column private.daily_usage.input_tokens is 'Sum of their input tokens.';
comment on column private.daily_usage.output_tokens is 'Sum of their output tokens.';
comment on column private.daily_usage.total_tokens is 'Sum of their tokens.';
comment on column private.daily_usage.cost is 'Sum of what they debited.';
comment on column private.daily_usage.nano_usd is 'Sum of what upstream charges for them, in nano-dollars, as far as that is known.';

create table if not exists private.summed_days (
  day date primary key,
  closed_by xid8 not null default pg_current_xact_id(),
  summed_at timestamptz
);
comment on table private.summed_days is 'The days daily_usage has, or is to have.';
comment on column private.summed_days.day is 'The day (UTC).';
comment on column private.summed_days.closed_by is 'A transaction that began when changes of the day had been noted for a while: it is summed once all before that one have ended.';
comment on column private.summed_days.summed_at is 'When it was last summed; null where it is to be.';

create table if not exists private.changed_days (
  day date not null,
  changed_by xid8 not null default pg_current_xact_id(),
  primary key (day, changed_by)
);
comment on table private.changed_days is 'Days whose rollups changed since they were summed, or more than a day after: written by triggers, in the transaction of the change.';
comment on column private.changed_days.day is 'The day (UTC).';
comment on column private.changed_days.changed_by is 'The transaction: a row of its own, so that nobody waits.';
alter table private.daily_usage enable row level security;
alter table private.summed_days enable row level security;
alter table private.changed_days enable row level security;


set check_function_bodies = off;

drop function if exists private.change_allocation(p_subject_id uuid, p_tokens bigint, p_kind text, p_actor text, p_reference text);

drop function if exists private.device_page(p_query text, p_limit integer, p_sort text, p_after_value text, p_after_id uuid);

drop function if exists private.extend_generation(p_generation public.generations, p_hold public.reservations, p_item jsonb);

drop function if exists private.keyed_event_id(p_subject_id uuid, p_key_hash uuid, p_at timestamp with time zone);

drop function if exists private.open_device_balance(p_device_id uuid, p_is_written boolean);

drop function if exists public.list_audit(p_actor jsonb, p_limit integer, p_before bigint, p_target text);

drop function if exists public.summarize_all_usage(p_actor jsonb, p_from text, p_to text, p_time_zone text, p_group_by text[], p_user_id uuid);

drop function if exists public.summarize_usage(p_from text, p_to text, p_time_zone text, p_group_by text[], p_subjects uuid[]);

create or replace function private.account_filter(p_filter text)
returns text
language sql immutable set search_path = ''
as $$
  select case p_filter
    when 'suspended' then 'u.suspended_at is not null'
    when 'near_limit' then 'b.remaining * 10 <= b.allocated'
    when 'unverified' then 'u.email_verified_at is null'
    when 'subscribed' then $condition$public.effective_tier(s) <> 'free'$condition$
    when 'idle' then
      $condition$
        u.created_at < now() - interval '30 days' and u.id not in (
          select coalesce(d.user_id, r.subject_id)
            from (
              select distinct t.subject_id from public.usage_rollups t where t.bucket >= now() - interval '30 days'
            ) r
            left join public.devices d on d.id = r.subject_id
        )
      $condition$
    else 'true'
  end
$$;
comment on function private.account_filter(text) is
  'Returns the SQL of a filter of accounts u with balances b and subscriptions s: suspended, near_limit (a tenth left, or less), unverified, subscribed, idle (no use for 30 days).';

-- One page of accounts, sorted by one of a closed list of columns.
create or replace function private.account_page(
  p_query text, p_filter text, p_limit integer, p_sort text, p_after_value text, p_after_id uuid
)
returns jsonb
language plpgsql stable set search_path = ''
as $$
declare
  v_column text := case ltrim(p_sort, '-')
    when 'created' then 'u.created_at'
    when 'email' then 'u.email'
    when 'allocated' then 'b.allocated'
    when 'used' then 'b.used'
    when 'remaining' then 'b.remaining'
  end;
  v_type text := case ltrim(p_sort, '-') when 'email' then 'text' when 'created' then 'timestamptz' else 'bigint' end;
  v_direction text := case when p_sort like '-%' then 'desc' else 'asc' end;
  v_page jsonb;
begin
  -- The order comes with the cursor, from the caller.
  if v_column is null then
    raise sqlstate 'PT400' using message = 'VALIDATION_FAILED';
  end if;
  execute format(
    $query$
      select coalesce(jsonb_agg(
               private.user_json(p.account) || jsonb_build_object(
                 'email_verified', (p.account).email_verified_at is not null, 'suspended_at', (p.account).suspended_at,
                 'tier', coalesce(public.effective_tier(p.subscription), 'free'),
                 'tokens_reserved', p.reserved,
                 'devices', (
                   select count(*) from public.devices d where d.user_id = (p.account).id and d.deleted_at is null
                 ),
                 'last_used_at', private.last_used_at((p.account).id), 'sort_value', p.sort_value::text
               ) order by p.sort_value %2$s, (p.account).id %2$s
             ), '[]')
        from (
          select u as account, s as subscription, coalesce(b.reserved, 0) as reserved, %1$s as sort_value
            from public.users u
            %6$s join public.balances b on b.subject_id = u.id
            left join public.subscriptions s on s.user_id = u.id
           where ($1 is null or u.email like $1 or lower(u.name) like $1 or u.id::text like $1)
             and %5$s
             and ($2 is null or (%1$s, u.id) %3$s ($2::%4$s, $3))
           order by %1$s %2$s, u.id %2$s
           limit $4
        ) p
    $query$,
    v_column, v_direction, case v_direction when 'desc' then '<' else '>' end, v_type, private.account_filter(p_filter),
    case when v_column like 'b.%' then '' else 'left' end
  )
  into v_page
  using private.search_pattern(p_query), p_after_value, p_after_id, p_limit;
  return v_page;
exception
  -- The cursor comes from the caller.
  when data_exception then
    raise sqlstate 'PT400' using message = 'VALIDATION_FAILED';
end
$$;
comment on function private.account_page(text, text, integer, text, text, uuid) is
  'Returns accounts with balances and standing, one page; sort_value and id of the last row page on.';

-- The audit log can never be cleaned, so an account is named in it by its id only.
create or replace function private.add_account(
  p_by jsonb, p_email text, p_default_tokens bigint, p_name text, p_password_hash text
)
returns jsonb
language plpgsql volatile set search_path = '' set timezone = 'UTC'
as $$
declare
  v_actor constant text := p_by ->> 'name';
  v_user public.users := private.create_account(p_email, p_name, null);
begin
  if v_user.id is null then
    raise sqlstate 'PT409' using message = 'EMAIL_TAKEN';
  end if;
  if p_password_hash is not null then
    insert into private.user_credentials (user_id, password_hash) values (v_user.id, p_password_hash);
  end if;
  -- An admin's decision, whatever the address was paid before.
  perform private.grant_default_tokens(v_user.id, p_default_tokens, v_actor, null, true);
  perform private.audit_by(
    p_by, 'create_user', 'user:' || v_user.id, null, private.balance_json(v_user.id)
  );
  return private.user_json(v_user);
end
$$;
comment on function private.add_account(jsonb, text, bigint, text, text) is
  'Creates an account with its default tokens, in the name of {name, …}; the password hash may be null. Returns the account; raises EMAIL_TAKEN.';

-- The kinds of joins that read a table whole, or in another order than that of its key, are out of the question: who adds
-- to several rollups does so in the order of their keys.
create or replace function private.add_to_rollups(p_events public.usage_events[])
returns public.usage_events[]
language plpgsql volatile set search_path = '' set plan_cache_mode = 'force_generic_plan'
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_new public.usage_events[];
begin
  with counted as materialized (
    select e.subject_id, date_bin('15 minutes', e.occurred_at, 'epoch') as bucket, e.provider, e.model, e.source,
           count(*) as events, sum(e.prompt_count) as prompts, sum(e.input_tokens) as input_tokens,
           sum(e.output_tokens) as output_tokens, sum(e.total_tokens) as total_tokens, sum(e.cost) as cost,
           coalesce(sum(e.nano_usd), 0) as nano_usd
      from unnest(p_events) e
     group by 1, 2, 3, 4, 5
     order by 1, 2, 3, 4, 5
  ), added as (
    update public.usage_rollups r
       set events = r.events + c.events,
           prompts = r.prompts + c.prompts,
           input_tokens = r.input_tokens + c.input_tokens,
           output_tokens = r.output_tokens + c.output_tokens,
           total_tokens = r.total_tokens + c.total_tokens,
           cost = r.cost + c.cost,
           nano_usd = r.nano_usd + c.nano_usd
      from counted c
     where r.subject_id = c.subject_id and r.bucket = c.bucket and r.provider = c.provider and r.model = c.model
       and r.source = c.source
    returning r.subject_id, r.bucket, r.provider, r.model, r.source, c.events
  )
  select case when (select sum(a.events) from added a) is distinct from cardinality(p_events) then array(
           select e from unnest(p_events) e
            where (e.subject_id, date_bin('15 minutes', e.occurred_at, 'epoch'), e.provider, e.model, e.source)
              not in (select a.subject_id, a.bucket, a.provider, a.model, a.source from added a)
         ) end
    into v_new;
  return v_new;
end
$$;
comment on function private.add_to_rollups(public.usage_events[]) is
  'Adds events to the quarter-hour rollups there are. Returns those there is none for yet, null where there are none of these.';

create or replace function private.alert_settings_json()
returns jsonb
language sql stable set search_path = '' set timezone = 'UTC'
as $$
  select jsonb_build_object(
    'device_thresholds', s.device_thresholds, 'user_thresholds', s.user_thresholds, 'pool_thresholds', s.pool_thresholds,
    'mail_people', s.mail_people, 'mail_to', s.mail_to, 'updated_at', s.updated_at
  ) from private.alert_settings s
$$;
comment on function private.alert_settings_json() is 'Returns at which thresholds somebody is warned, and who gets mail.';

-- Lock order everywhere: the pool, then balances in id order.
create or replace function private.allocate_tokens(
  p_by jsonb, p_kind text, p_subject_id uuid, p_tokens bigint, p_from_id uuid, p_key text
)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_actor constant text := p_by ->> 'name';
  v_request jsonb := jsonb_build_array('allocate', p_kind, p_subject_id, p_tokens, p_from_id);
  v_subjects uuid[] := array_remove(array[p_subject_id, p_from_id], null);
  v_before jsonb;
  v_entries jsonb;
  v_answer jsonb;
begin
  if p_from_id = p_subject_id then
    raise sqlstate 'PT400' using message = 'SELF_TRANSFER';
  end if;
  perform from public.budgets where subject_kind = p_kind for update;
  v_answer := private.earlier_answer((p_by ->> 'id')::uuid, p_key, v_request);
  if v_answer is not null then
    return v_answer;
  end if;
  perform from public.balances b where b.subject_id = any (v_subjects) order by b.subject_id for update;
  perform private.require_subject(p_kind, s) from unnest(v_subjects) as s;
  perform private.enter_period(v_subjects);
  perform private.expire_reservations(v_subjects);
  v_before := jsonb_build_object('to', private.balance_json(p_subject_id), 'from', private.balance_json(p_from_id));

  v_entries := private.move_tokens(p_kind, p_subject_id, p_tokens, p_from_id, v_actor, null);
  v_answer := private.moved_json(p_subject_id, p_from_id, v_before, v_entries);
  perform private.audit_by(
    p_by, case when p_from_id is null then 'allocate' else 'transfer' end,
    p_kind || ':' || p_subject_id, v_before,
    jsonb_build_object('to', private.balance_json(p_subject_id), 'from', private.balance_json(p_from_id))
  );
  if p_key is not null then
    perform private.remember_answer(
      (p_by ->> 'id')::uuid, private.idempotency_key_hash(p_key), private.request_hash(v_request), v_answer
    );
  end if;
  return v_answer;
end
$$;
comment on function private.allocate_tokens(jsonb, text, uuid, bigint, uuid, text) is
  'Gives tokens from the pool, takes unused ones back (negative), or moves them between two subjects, in the name of {id, name, …}. Returns the balance, with from for a transfer; raises BUDGET_EXCEEDED, INSUFFICIENT_TOKENS, SELF_TRANSFER, …_NOT_FOUND, IDEMPOTENCY_MISMATCH.';

create or replace function private.announce_balance(
  p_type text, p_balance public.balances, p_threshold smallint default null
)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_user_id uuid := case p_balance.subject_kind
    when 'user' then p_balance.subject_id
    else (select d.user_id from public.devices d where d.id = p_balance.subject_id)
  end;
  v_data jsonb := jsonb_strip_nulls(jsonb_build_object(
    'subject_kind', p_balance.subject_kind, 'subject_id', p_balance.subject_id, 'user_id', v_user_id,
    'threshold', p_threshold, 'allocated', p_balance.allocated, 'used', p_balance.used,
    'remaining', p_balance.allocated - p_balance.used - p_balance.reserved,
    'period', case p_balance.subject_kind when 'device' then p_balance.period end
  ));
begin
  perform private.emit_event(p_type, v_data);
  -- At the end one mail is enough.
  if p_type = 'balance.exhausted' or p_threshold < 100 then
    perform private.request_alert_mails(p_type, v_data, v_user_id);
  end if;
end
$$;
comment on function private.announce_balance(text, public.balances, smallint) is
  'Writes down, for webhooks and mail, that a balance reached a threshold or its end.';

create or replace function private.audit_by(
  p_by jsonb, p_action text, p_target text, p_before jsonb default null, p_after jsonb default null
)
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  perform private.audit(
    p_by ->> 'name', p_by ->> 'request_id', p_action, p_target, p_before,
    case when p_by ? 'why' then coalesce(p_after, '{}') || jsonb_build_object('why', p_by -> 'why') else p_after end,
    p_by ->> 'address'
  );
end
$$;
comment on function private.audit_by(jsonb, text, text, jsonb, jsonb) is
  'Writes what somebody {name, request_id, address, why} did into the audit log: an admin as require_admin_by returns them, or who writes SQL by hand.';

create or replace function private.begin_rollups(p_events public.usage_events[])
returns void
language plpgsql volatile set search_path = '' set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_event public.usage_events;
begin
  p_events := private.fold_names(p_events);
  if cardinality(p_events) = 1 then
    v_event := p_events[1];
    perform private.add_to_rollup(row(
      v_event.subject_id, date_bin('15 minutes', v_event.occurred_at, 'epoch'), v_event.provider, v_event.model,
      v_event.source, 1, v_event.prompt_count, v_event.input_tokens, v_event.output_tokens, v_event.total_tokens,
      v_event.cost, coalesce(v_event.nano_usd, 0)
    )::public.usage_rollups);
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
end
$$;
comment on function private.begin_rollups(public.usage_events[]) is
  'Adds events to quarter-hour rollups that may not be there yet, under the names that are told apart.';

create or replace function private.break_seals()
returns trigger
language plpgsql volatile set search_path = ''
as $$
begin
  -- Of all rows, said in words: sessions of Supabase's Data API refuse a delete or an update that names none.
  delete from private.sealed_totals where true;
  delete from private.sealed_rollups where true;
  delete from private.sealed_events where true;
  delete from private.sealed_months where true;
  delete from private.daily_usage where true;
  delete from private.summed_days where true;
  return null;
end
$$;
comment on function private.break_seals() is 'Trigger: takes every seal and every day''s sum away, so that all of them are made from their rows again.';

-- Whoever may call the functions of this area owns the tables anyway: they run with the rights of their caller, and are
-- granted to nobody.
create or replace function private.by_hand(p_why text default null)
returns jsonb
language sql stable set search_path = ''
as $$
  -- The id is nobody's: idempotency keys are kept under it.
  select jsonb_build_object('id', '00000000-0000-0000-0000-000000000000'::uuid, 'name', 'sql:' || current_user)
         || case when p_why is null then '{}' else jsonb_build_object('why', left(p_why, 500)) end
$$;
comment on function private.by_hand(text) is
  'Returns whoever writes SQL by hand as functions take them, {id, name, why}: the name is sql: and the role.';

create or replace function private.change_device(
  p_by jsonb, p_device_id uuid, p_blocked boolean default null, p_name text default null, p_rotate boolean default false
)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_before jsonb := private.lock_device(p_device_id);
  v_after jsonb;
begin
  update public.devices
     set blocked = coalesce(p_blocked, blocked),
         name = coalesce(p_name, name),
         token_version = token_version + case when p_rotate then 1 else 0 end
   where id = p_device_id;
  v_after := private.device_json(p_device_id);
  perform private.audit_by(
    p_by,
    case
      when p_rotate then 'rotate_device'
      when p_name is not null then 'rename_device'
      when p_blocked then 'block_device'
      else 'unblock_device'
    end,
    'device:' || p_device_id, v_before, v_after
  );
  return v_after;
end
$$;
comment on function private.change_device(jsonb, uuid, boolean, text, boolean) is
  'Blocks or unblocks, renames, or rotates the tokens of a device, in the name of {name, …}. Returns the device; raises DEVICE_NOT_FOUND.';

create or replace function private.change_one(p_actor jsonb, p_kind text, p_id uuid, p_change jsonb)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_action text := p_kind || ' ' || (p_change ->> 'action');
begin
  return case v_action
    when 'device block' then public.update_device(p_actor, p_id, p_blocked => true)
    when 'device unblock' then public.update_device(p_actor, p_id, p_blocked => false)
    when 'device rotate' then public.update_device(p_actor, p_id, p_rotate => true)
    when 'device remove' then public.delete_device(p_actor, p_id)
    when 'device allocate' then public.allocate(p_actor, p_kind, p_id, (p_change ->> 'tokens')::bigint)
    when 'user suspend' then public.suspend_account(p_actor, p_id, true)
    when 'user unsuspend' then public.suspend_account(p_actor, p_id, false)
    when 'user end_sessions' then public.end_account_sessions(p_actor, p_id, (p_change ->> 'api_keys')::boolean)
    when 'user plan' then public.set_account_plan(p_actor, p_id, p_change ->> 'tier')
    when 'user allocate' then public.allocate(p_actor, p_kind, p_id, (p_change ->> 'tokens')::bigint)
  end;
end
$$;
comment on function private.change_one(jsonb, text, uuid, jsonb) is
  'Does to one device or account what change_many is asked to do to each; returns the answer of the act, or raises what it raises.';

create or replace function private.close_account_sessions(p_by jsonb, p_user_id uuid, p_api_keys boolean)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_target text;
  v_ended jsonb;
  v_keys integer := 0;
begin
  v_target := private.require_account(p_user_id);
  if p_api_keys then
    delete from private.api_keys where user_id = p_user_id;
    get diagnostics v_keys = row_count;
  end if;
  v_ended := jsonb_build_object('ended', private.end_sessions(p_user_id), 'api_keys', v_keys);
  perform private.audit_by(p_by, 'end_user_sessions', v_target, null, v_ended);
  return v_ended;
end
$$;
comment on function private.close_account_sessions(jsonb, uuid, boolean) is
  'Ends every session of an account and, where wished, every API key, in the name of {name, …}. Returns {ended, api_keys}; raises USER_NOT_FOUND.';

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
    perform private.record_allocation(p_user_id, -v_unused, 'adjustment', p_actor, 'account deleted');
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
  returning remaining into v_unused;
  if v_unused > 0 then
    perform private.record_allocation(p_device_id, -v_unused, 'adjustment', p_actor, p_note);
    update public.budgets set allocated = allocated - v_unused, updated_at = now() where subject_kind = 'device';
  end if;
  return coalesce(v_unused, 0);
end
$$;
comment on function private.close_device(uuid, text, text) is
  'Ends the tokens and holds of a device, takes its fingerprint, and returns its unused tokens to the pool; returns how many. The pool and its balance must be locked.';

create or replace function private.device_filter(p_filter text)
returns text
language sql immutable set search_path = ''
as $$
  select case p_filter
    when 'blocked' then 'd.blocked'
    when 'near_limit' then 'b.remaining * 10 <= b.allocated'
    when 'unlinked' then 'd.user_id is null'
    when 'idle' then
      $condition$
        d.last_registered_at < now() - interval '30 days' and not exists (
          select from public.usage_rollups r where r.subject_id = d.id and r.bucket >= now() - interval '30 days'
        )
      $condition$
    else 'true'
  end
$$;
comment on function private.device_filter(text) is
  'Returns the SQL of a filter of devices d with balances b: blocked, near_limit (a tenth left, or less), unlinked, idle (neither seen nor used for 30 days).';

create or replace function private.device_key(p_device_id uuid, p_key text)
returns uuid
language plpgsql immutable strict set search_path = ''
as $$
begin
  return encode(
    substr(sha256(uuid_send(p_device_id) || uuid_send(private.idempotency_key_hash(p_key))), 1, 16), 'hex'
  )::uuid;
end
$$;
comment on function private.device_key(uuid, text) is
  'Returns an idempotency key of a device as it is stored: the first 128 bits of the SHA-256 of the device and of the key''s hash; null for none.';

-- One page of devices, sorted by one of a closed list of columns.
create or replace function private.device_page(
  p_query text, p_limit integer, p_sort text, p_after_value text, p_after_id uuid, p_filter text default null
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
  -- The order comes with the cursor, from the caller.
  if v_column is null then
    raise sqlstate 'PT400' using message = 'VALIDATION_FAILED';
  end if;
  execute format(
    $query$
      select coalesce(jsonb_agg(
               jsonb_build_object(
                 'id', p.id, 'name', p.name, 'user_email', p.user_email, 'allocated', p.allocated, 'used', p.used,
                 'reserved', p.reserved, 'remaining', p.remaining, 'blocked', p.blocked,
                 'registrations', p.registrations, 'created_at', p.created_at,
                 'last_seen', greatest(p.last_registered_at, private.last_used_at(p.id)),
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
             and %5$s
             and ($2 is null or (%1$s, d.id) %3$s ($2::%4$s, $3))
           order by %1$s %2$s, d.id %2$s
           limit $4
        ) p
    $query$,
    v_column, v_direction, case v_direction when 'desc' then '<' else '>' end, v_type,
    private.device_filter(p_filter)
  )
  into v_page
  using private.search_pattern(p_query), p_after_value, p_after_id, p_limit;
  return v_page;
exception
  -- The cursor comes from the caller.
  when data_exception then
    raise sqlstate 'PT400' using message = 'VALIDATION_FAILED';
end
$$;
comment on function private.device_page(text, integer, text, text, uuid, text) is
  'Returns devices with balances and this month''s usage, one page; sort_value and id of the last row page on.';

create or replace function private.drop_account(p_by jsonb, p_user_id uuid)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_target text;
begin
  v_target := private.require_account(p_user_id);
  perform private.remove_account(p_user_id);
  perform private.audit_by(p_by, 'delete_user', v_target);
  return jsonb_build_object('deleted', true);
end
$$;
comment on function private.drop_account(jsonb, uuid) is
  'Removes an account as its owner could, in the name of {name, …}. Returns {deleted}; raises USER_NOT_FOUND, and SUBSCRIPTION_RUNNING while Stripe knows the person.';

create or replace function private.drop_device(p_by jsonb, p_device_id uuid)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_before jsonb;
  v_unused bigint;
begin
  perform from public.budgets where subject_kind = 'device' for update;
  v_before := private.lock_device(p_device_id);
  v_unused := private.close_device(p_device_id, p_by ->> 'name', 'device deleted');
  perform private.audit_by(
    p_by, 'delete_device', 'device:' || p_device_id, v_before,
    jsonb_build_object('returned', v_unused)
  );
  return jsonb_build_object('device_id', p_device_id, 'returned', v_unused);
end
$$;
comment on function private.drop_device(jsonb, uuid) is
  'Removes a device in the name of {name, …}: its tokens die, its unused tokens return to the pool, its usage stays. Returns {device_id, returned}; raises DEVICE_NOT_FOUND.';

-- Triggers, so that also what is done by hand in Supabase Studio is told.
create or replace function private.emit_device_event()
returns trigger
language plpgsql set search_path = ''
as $$
begin
  perform private.emit_event(
    case tg_op when 'INSERT' then 'device.registered' else 'device.blocked' end,
    jsonb_build_object('device_id', new.id, 'user_id', new.user_id)
  );
  return null;
end
$$;
comment on function private.emit_device_event() is 'Trigger: tells that a device registered for the first time, or was blocked.';

create or replace function private.emit_event(p_type text, p_data jsonb)
returns uuid
language sql volatile set search_path = ''
as $$
  with event as (select gen_random_uuid() as id),
  told as (
    insert into private.webhook_deliveries (event_id, endpoint_id, type, data)
    select event.id, e.id, p_type, p_data
      from private.webhook_endpoints e cross join event
     where e.disabled_at is null and p_type = any (e.events)
     order by e.id
  )
  select event.id from event
$$;
comment on function private.emit_event(text, jsonb) is
  'Writes an event down for each endpoint that gets its type, in the transaction of what caused it; returns the event''s id.';

create or replace function private.emit_period_event()
returns trigger
language plpgsql set search_path = '' set timezone = 'UTC'
as $$
begin
  perform private.emit_event('period.reset', jsonb_build_object(
    'period', new.number, 'started_at', new.started_at, 'default_tokens', new.default_tokens
  ));
  return null;
end
$$;
comment on function private.emit_period_event() is 'Trigger: tells that a budget period began.';

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
  perform private.guard_partition(v_name);
  execute format('comment on table private.%I is %L', v_name, 'Usage events of ' || to_char(v_from at time zone 'UTC', 'YYYY-MM') || '.');
  -- Attaching locks the parent less than creating a partition in place: writers go on.
  execute format(
    'alter table public.usage_events attach partition private.%I for values from (%L) to (%L)', v_name, v_from, v_to
  );
end
$$;
comment on function private.ensure_usage_partition(timestamptz) is
  'Creates the month''s partition of usage_events where it is missing.';

create or replace function private.explain_refusal(p_code text, p_detail text)
returns text
language sql immutable set search_path = ''
as $$
  select case p_code
    when 'BUDGET_EXCEEDED' then format(
      'The pool has %s tokens left and %s were asked for: set_pool() makes it larger', d.fields ->> 'remaining', d.fields ->> 'requested'
    )
    when 'INSUFFICIENT_TOKENS' then format(
      'Only %s tokens are neither used nor held, and %s were to be taken', d.fields ->> 'remaining', d.fields ->> 'requested'
    )
    when 'ALLOCATION_TOO_LARGE' then 'No balance can hold that many tokens'
    when 'SELF_TRANSFER' then 'Tokens move between two: both are the same'
    when 'IDEMPOTENCY_MISMATCH' then 'This key was used for something else before: take another one'
    when 'SUBSCRIPTION_RUNNING' then 'The person has a subscription at Stripe, which has to be ended there first'
    when 'EMAIL_TAKEN' then 'Somebody has this address already: find_person() finds them'
    when 'ALREADY_RESET' then 'A period has ended in this month already: a second argument of true ends another'
    when 'DEVICE_NOT_FOUND' then 'There is no such device: device_overview lists them'
    when 'USER_NOT_FOUND' then 'There is no such person: user_overview lists them'
    else p_code
  end
    from (select coalesce(nullif(p_detail, '')::jsonb, '{}') as fields) d
$$;
comment on function private.explain_refusal(text, text) is
  'Returns the code and detail of a refusal as a sentence, for people who write SQL by hand; anything else as it is.';

-- A tier that is given is in force like one that is paid, until it is changed; it grants no tokens.
create or replace function private.give_tier(p_by jsonb, p_user_id uuid, p_tier text)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_target text;
  v_before jsonb;
  v_is_free constant boolean := p_tier = 'free';
begin
  v_target := private.require_account(p_user_id);
  v_before := private.account_json(p_user_id);
  if not v_is_free or exists (select from public.subscriptions s where s.user_id = p_user_id) then
    insert into public.subscriptions as s (user_id, tier, status, current_period_start)
    values (
      p_user_id, case when not v_is_free then p_tier end, case when v_is_free then 'none' else 'active' end,
      case when not v_is_free then now() end
    )
    on conflict (user_id) do update
      set tier = excluded.tier, status = excluded.status, current_period_start = excluded.current_period_start,
          version = s.version + 1, updated_at = now()
    -- What is paid for is Stripe's to tell.
    where s.stripe_subscription_id is null;
    if not found then
      raise sqlstate 'PT409' using message = 'SUBSCRIPTION_RUNNING';
    end if;
  end if;
  perform private.audit_by(
    p_by, 'set_plan', v_target, jsonb_build_object('tier', v_before -> 'tier'), jsonb_build_object('tier', p_tier)
  );
  return private.account_json(p_user_id);
end
$$;
comment on function private.give_tier(jsonb, uuid, text) is
  'Gives an account a tier without payment, or takes it back with free, in the name of {name, …}. Returns the account; raises USER_NOT_FOUND, and SUBSCRIPTION_RUNNING for one that subscribed at Stripe.';

-- Called wherever an identity is proved. The caller holds the account.
create or replace function private.grant_default_tokens(
  p_user_id uuid, p_tokens bigint, p_actor text, p_reference text default null, p_always boolean default false
)
returns bigint
language plpgsql volatile set search_path = ''
as $$
declare
  v_granted bigint;
  v_is_paid boolean;
  v_is_first boolean;
begin
  -- What the pool still has, at most.
  select least(p_tokens, greatest(coalesce(b.total - b.allocated, p_tokens), 0)) into strict v_granted
    from public.budgets b where b.subject_kind = 'user' for update;
  select u.default_granted_at is not null into strict v_is_paid from public.users u where u.id = p_user_id;
  -- Who gets nothing, as the pool is empty, may get it another time.
  if v_granted <= 0 and not v_is_paid then
    return 0;
  end if;
  v_is_first := private.remember_identities(p_user_id);
  if v_is_paid or not (v_is_first or p_always) then
    return 0;
  end if;
  update public.budgets set allocated = allocated + v_granted, updated_at = now() where subject_kind = 'user';
  perform private.record_allocation(p_user_id, v_granted, 'grant', p_actor, p_reference);
  update public.users set default_granted_at = now() where id = p_user_id;
  return v_granted;
end
$$;
comment on function private.grant_default_tokens(uuid, bigint, text, text, boolean) is
  'Pays an account its first tokens: once, and only where none of its identities was ever paid, unless p_always. Returns how many.';

-- Adds tokens to a person's balance. The pool does not stop it: what was paid for must not be lost, so the pool may go over
-- its total, and then gives nothing to others until an admin raises it.
create or replace function private.grant_subscription(p_user_id uuid, p_tokens bigint, p_reference text)
returns bigint
language plpgsql volatile set search_path = ''
as $$
declare
  v_tokens bigint;
begin
  perform from public.budgets where subject_kind = 'user' for update;
  select least(p_tokens, 9007199254740991 - b.allocated) into strict v_tokens
    from public.balances b where b.subject_id = p_user_id for update;
  if v_tokens <= 0 then
    return 0;
  end if;
  perform private.record_allocation(p_user_id, v_tokens, 'subscription', 'system:stripe', p_reference);
  update public.budgets set allocated = allocated + v_tokens, updated_at = now() where subject_kind = 'user';
  return v_tokens;
end
$$;
comment on function private.grant_subscription(uuid, bigint, text) is
  'Grants tokens that were paid for, through the ledger; returns how many, less only where a balance could not hold them.';

-- Triggers that fire once a statement are not inherited: a month is guarded where it is addressed itself.
create or replace function private.guard_partition(p_name text)
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  execute format(
    $trigger$
      create or replace trigger by_hand
        before insert or update or delete or truncate on private.%1$I
        for each statement execute function private.refuse_by_hand(%2$L);
      alter table private.%1$I enable always trigger by_hand;
    $trigger$,
    p_name,
    'events, their sums and their debits are written together, by meter_devices(), meter_chat() and record_usage(); to make up for a use call grant_tokens(subject, tokens, ''why'')'
  );
end
$$;
comment on function private.guard_partition(text) is 'Refuses changes by hand of one month of usage events, see refuse_by_hand.';

create or replace function private.is_undoable(p_entry public.ledger_entries, p_period integer)
returns boolean
language sql immutable set search_path = ''
as $$
  -- A reset has settled what was given before it, and what else has a reference belongs to what wrote it.
  select p_entry.period = p_period and p_entry.actor not like 'system:%' and case p_entry.kind
           when 'transfer' then p_entry.reference not like 'undo %'
           when 'grant' then p_entry.reference is null
           when 'adjustment' then p_entry.reference is null
           else false
         end
$$;
comment on function private.is_undoable(public.ledger_entries, integer) is
  'Returns whether an entry is somebody''s grant, claw back or transfer of the balance''s period that runs.';

create or replace function private.judge_hand(
  p_schema text, p_table text, p_statement text, p_sentence text, p_cascade text default null
)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_why constant text := nullif(btrim(current_setting('tokenledger.by_hand', true)), '');
begin
  -- What references a row that may be deleted by hand goes with it.
  if p_cascade is not null and pg_trigger_depth() > 1 then
    return;
  end if;
  if v_why is null then
    raise exception '%.% is not changed by hand: %', p_schema, p_table, p_sentence using
      errcode = '42501',
      hint = 'To repair damaged books all the same, run select set_config(''tokenledger.by_hand'', ''why'', true) before it, in the same transaction. The audit log has it, and verify_ledger() tells whether they add up.';
  end if;
  perform private.audit_by(
    private.by_hand(v_why), 'change_by_hand', 'table:' || p_schema || '.' || p_table, null,
    jsonb_build_object('statement', lower(p_statement))
  );
end
$$;
comment on function private.judge_hand(text, text, text, text, text) is
  'Refuses a change by hand in a sentence; where tokenledger.by_hand says why, it lets it pass and notes it in the audit log.';

-- The id of what was debited with a key follows from the key and the time (RFC 9562, version 8), so that the key need not
-- remember it. With the time, as the same key may be used again once it is forgotten.
create or replace function private.keyed_event_id(p_key uuid, p_at timestamptz)
returns uuid
language plpgsql immutable set search_path = ''
as $$
begin
  return overlay(overlay(
    encode(substr(sha256(uuid_send(p_key) || timestamptz_send(p_at)), 1, 16), 'hex') placing '8' from 13
  ) placing '8' from 17)::uuid;
end
$$;
comment on function private.keyed_event_id(uuid, timestamptz) is
  'Returns the id of the event that a device''s debit with an idempotency key, as device_key makes it, made at a time.';

create or replace function private.ledger_page(p_subject_id uuid, p_limit integer, p_before_at text, p_before_id uuid)
returns jsonb
language plpgsql stable set search_path = '' set timezone = 'UTC'
as $$
begin
  return (
    select coalesce(
             jsonb_agg(
               jsonb_build_object(
                 'id', page.id, 'kind', page.kind, 'amount', page.amount, 'actor', page.actor, 'reference', page.reference,
                 'created_at', page.created_at, 'period', page.period,
                 'undone', undo.is_undone, 'undoable', not undo.is_undone and private.is_undoable(page, b.period),
                 'counterpart', case when page.kind = 'transfer' then (
                   select e.subject_id from public.ledger_entries e
                    where e.kind = 'transfer' and e.reference = page.reference and e.subject_id <> p_subject_id limit 1
                 ) end
               ) order by page.created_at desc, page.id desc
             ), '[]'
           )
      from (
        select e.* from public.ledger_entries e
         where e.subject_id = p_subject_id
           and (p_before_id is null or (e.created_at, e.id) < (p_before_at::timestamptz, p_before_id))
         order by e.created_at desc, e.id desc
         limit p_limit
      ) page
      join public.balances b on b.subject_id = p_subject_id
     cross join lateral (
       select exists (
         select from public.ledger_entries u
          where u.reference = private.undo_reference(page) and u.reference like 'undo %' and u.subject_id = p_subject_id
       ) as is_undone
     ) undo
  );
exception
  -- The cursor comes from the caller.
  when data_exception then
    raise sqlstate 'PT400' using message = 'VALIDATION_FAILED';
end
$$;
comment on function private.ledger_page(uuid, integer, text, uuid) is
  'Returns what changed one allocation, newest first, with what may be undone; before (time, id) to page on.';

-- In id order, so that concurrent calls cannot deadlock. What is only read is locked where something may be due.
create or replace function private.lock_device_balances(p_items jsonb, p_period integer)
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  if jsonb_array_length(p_items) = 1 then
    perform from public.balances b where b.subject_id = (p_items #>> '{0,device_id}')::uuid for update;
    return;
  end if;
  perform from (
      select (i ->> 'device_id')::uuid as device_id, bool_or(i ->> 'op' = 'debit' or (i ->> 'reserve')::boolean) as is_written
        from jsonb_array_elements(p_items) i
       group by 1
       order by 1
    ) d
   cross join lateral (
     select from public.balances b
      where b.subject_id = d.device_id and (d.is_written or b.period < p_period or b.reserved > 0)
        for update
   ) b;
end
$$;
comment on function private.lock_device_balances(jsonb, integer) is
  'Locks the balances that a call of meter_devices writes, and those of its other devices that may have to be brought into the running period or rid of expired holds.';

-- A day is closed a day after its end, so what is written before that needs no note.
create or replace function private.mark_changed_day(p_at timestamptz)
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  if p_at < clock_timestamp() - interval '24 hours' then
    insert into private.changed_days (day) values ((p_at at time zone 'UTC')::date) on conflict (day, changed_by) do nothing;
  end if;
end
$$;
comment on function private.mark_changed_day(timestamptz) is 'Notes that rollups of a day changed which may have been summed up already.';

create or replace function private.mark_changed_rollup()
returns trigger
language plpgsql volatile set search_path = ''
as $$
begin
  if tg_op in ('UPDATE', 'DELETE') then
    perform private.mark_changed_usage(old.subject_id, old.bucket);
    perform private.mark_changed_day(old.bucket);
  end if;
  if tg_op in ('INSERT', 'UPDATE') then
    perform private.mark_changed_usage(new.subject_id, new.bucket);
    perform private.mark_changed_day(new.bucket);
  end if;
  return null;
end
$$;
comment on function private.mark_changed_rollup() is 'Trigger: notes that a rollup of a day or month that is over came, changed or went.';

create or replace function private.mark_verified(p_by jsonb, p_user_id uuid, p_default_tokens bigint)
returns jsonb
language plpgsql volatile set search_path = '' set timezone = 'UTC'
as $$
declare
  v_actor constant text := p_by ->> 'name';
  v_user public.users;
  v_granted bigint;
begin
  select u.* into v_user from public.users u where u.id = p_user_id for update;
  if not found then
    raise sqlstate 'PT404' using message = 'USER_NOT_FOUND';
  end if;
  update public.users set email_verified_at = coalesce(email_verified_at, now()), updated_at = now() where id = p_user_id;
  v_granted := private.grant_default_tokens(p_user_id, p_default_tokens, v_actor);
  perform private.audit_by(
    p_by, 'verify_user', 'user:' || p_user_id,
    jsonb_build_object('email_verified', v_user.email_verified_at is not null),
    jsonb_build_object('email_verified', true, 'granted', v_granted)
  );
  select u.* into v_user from public.users u where u.id = p_user_id;
  return private.user_json(v_user);
end
$$;
comment on function private.mark_verified(jsonb, uuid, bigint) is
  'Marks an account''s address as proved on the word of {name, …}, and pays the default tokens where they were not. Returns the account; raises USER_NOT_FOUND.';

-- The caller holds the pool and the balances.
create or replace function private.move_tokens(
  p_kind text, p_subject_id uuid, p_tokens bigint, p_from_id uuid, p_actor text, p_reference text
)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_pool public.budgets;
  v_reference text := coalesce(p_reference, gen_random_uuid()::text);
  v_entry uuid;
begin
  if p_from_id is not null then
    v_entry := private.record_allocation(p_from_id, -p_tokens, 'transfer', p_actor, v_reference);
    return jsonb_build_array(
      jsonb_build_object(
        'id', private.record_allocation(p_subject_id, p_tokens, 'transfer', p_actor, v_reference),
        'kind', 'transfer', p_kind || '_id', p_subject_id, 'amount', p_tokens
      ),
      jsonb_build_object('id', v_entry, 'kind', 'transfer', p_kind || '_id', p_from_id, 'amount', -p_tokens)
    );
  end if;
  select * into strict v_pool from public.budgets where subject_kind = p_kind;
  if v_pool.allocated + p_tokens > v_pool.total and p_tokens > 0 then
    raise sqlstate 'PT403' using message = 'BUDGET_EXCEEDED', detail = jsonb_build_object(
      'requested', p_tokens, 'remaining', greatest(v_pool.total - v_pool.allocated, 0)
    )::text;
  end if;
  v_entry := private.record_allocation(
    p_subject_id, p_tokens, case when p_tokens > 0 then 'grant' else 'adjustment' end, p_actor, p_reference
  );
  update public.budgets set allocated = allocated + p_tokens, updated_at = now() where subject_kind = p_kind;
  return jsonb_build_array(jsonb_build_object(
    'id', v_entry, 'kind', case when p_tokens > 0 then 'grant' else 'adjustment' end,
    p_kind || '_id', p_subject_id, 'amount', p_tokens
  ));
end
$$;
comment on function private.move_tokens(text, uuid, bigint, uuid, text, text) is
  'Moves tokens between a balance and its pool, or between two balances, and returns the ledger entries [{id, kind, …_id, amount}]; raises BUDGET_EXCEEDED, INSUFFICIENT_TOKENS. A null reference is one of its own for a transfer.';

create or replace function private.moved_json(p_subject_id uuid, p_from_id uuid, p_before jsonb, p_entries jsonb)
returns jsonb
language sql stable set search_path = ''
as $$
  select private.balance_json(p_subject_id) || jsonb_build_object(
    'before', p_before -> 'to',
    'from', private.balance_json(p_from_id) || jsonb_build_object('before', p_before -> 'from'),
    'entries', p_entries
  )
$$;
comment on function private.moved_json(uuid, uuid, jsonb, jsonb) is
  'Returns what a movement of tokens did: both balances, what they were before {to, from}, and the ledger entries.';

-- An endpoint gets one event at a time, in their order. One that was tried four times steps aside, so that an event an
-- endpoint cannot digest does not keep all others from it.
create or replace function private.next_webhook_deliveries()
returns table (id bigint, due_at timestamptz)
language sql stable set search_path = ''
as $$
  select d.id, d.due_at
    from private.webhook_deliveries d join private.webhook_endpoints e on e.id = d.endpoint_id
   where d.status = 'pending' and e.disabled_at is null
     and not exists (
       select from private.webhook_deliveries p
        where p.endpoint_id = d.endpoint_id and p.status = 'pending' and p.id < d.id and p.attempts < 4
     )
$$;
comment on function private.next_webhook_deliveries() is
  'Returns the deliveries that no earlier one keeps waiting, with when each may be tried.';

-- Also with nothing to add: a running stream says that it is still there, and how far it has come. The caller writes the
-- generation with write_noted_generations.
create or replace function private.note_generation(
  p_generation public.generations, p_hold public.reservations, p_item jsonb,
  out answer jsonb, out generation public.generations
)
language plpgsql volatile set search_path = ''
as $$
declare
  v_output bigint := p_item ->> 'output_tokens';
  v_amount bigint := 0;
begin
  if p_hold.status <> 'held' then
    answer := '{"code": "RESERVATION_SETTLED"}';
    return;
  end if;
  if v_output > 0 then
    select case
             when u.suspended_at is not null then 0
             else private.affordable_tokens(v_output, b.remaining, p_generation.output_weight)
           end
      into strict v_output
      from public.balances b left join public.users u on u.id = b.subject_id
     where b.subject_id = p_generation.subject_id;
    v_amount := private.weighted_tokens(p_generation, 0, v_output);
    update public.balances b set reserved = b.reserved + v_amount, updated_at = now()
     where b.subject_id = p_generation.subject_id and v_output > 0;
  end if;
  -- Not at every note, as its expiry is in two indexes.
  if v_output > 0 or p_hold.expires_at < now() + interval '4 minutes' then
    update public.reservations r set amount = r.amount + v_amount, expires_at = now() + interval '5 minutes'
     where r.id = p_hold.id;
  end if;
  generation := p_generation;
  generation.provider := coalesce(p_item ->> 'provider', generation.provider);
  generation.upstream_id := coalesce(p_item ->> 'upstream_id', generation.upstream_id);
  generation.input_seen := coalesce((p_item ->> 'input_seen')::bigint, generation.input_seen);
  generation.output_seen := coalesce((p_item ->> 'output_seen')::bigint, generation.output_seen);
  generation.input_floor := coalesce((p_item ->> 'input_floor')::bigint, generation.input_floor);
  generation.output_floor := coalesce((p_item ->> 'output_floor')::bigint, generation.output_floor);
  answer := jsonb_build_object('output_tokens', v_output);
end
$$;
comment on function private.note_generation(public.generations, public.reservations, jsonb) is
  'Holds more tokens for a running chat request, fewer than asked for where fewer are left. Returns the answer {output_tokens}, and the generation with how far it has come, or RESERVATION_SETTLED alone. The balance must be locked by the caller.';

-- Balances often end a little above nothing: with less left than the next request needs.
create or replace function private.note_refusal(p_subject_id uuid, p_needed bigint)
returns void
language plpgsql volatile set search_path = '' set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_balance public.balances;
begin
  update public.balances b
     set exhausted = true, alert_at = 0, alert_period = b.period, alert_allocated = b.allocated,
         alerted = case when b.alert_at is null or b.alert_period <> b.period then 0 else b.alerted end,
         alert_base = case
           when b.alert_at is not null and b.alert_period = b.period then b.alert_base
           when b.subject_kind = 'user' then b.used
           else 0
         end
   where b.subject_id = p_subject_id and b.allocated > 0 and b.allocated - b.used < p_needed
     and (b.exhausted is not true or b.alert_at is null or b.alert_period <> b.period)
  returning b.* into v_balance;
  if found then
    perform private.announce_balance('balance.exhausted', v_balance);
  end if;
end
$$;
comment on function private.note_refusal(uuid, bigint) is
  'Announces, once a period, that a balance has less left than the smallest request of its kind needs, holds aside. The balance must be locked by the caller.';

-- Everybody's totals are proved from the rollups, so a day's sum is proved from them, model by model only in full.
create or replace function private.prove_days(p_full boolean)
returns table (place integer, title text, checked bigint, discrepancies jsonb)
language plpgsql stable set search_path = '' set work_mem = '64MB'
as $$
begin
  return query
  with
  days as materialized (
    select s.day from private.summed_days s
     where s.summed_at is not null and not exists (select from private.changed_days c where c.day = s.day)
  ),
  stated as (
    select d.day, case when p_full then u.provider end as provider, case when p_full then u.model end as model,
           case when p_full then u.source end as source,
           array[sum(u.events), sum(u.prompts), sum(u.input_tokens), sum(u.output_tokens), sum(u.total_tokens), sum(u.cost),
                 sum(u.nano_usd)] as sums
      from days d join private.daily_usage u on u.day = d.day
     group by 1, 2, 3, 4
  ),
  quarters as (
    select t.bucket, null as provider, null as model, null as source, t.events, t.prompts, t.input_tokens, t.output_tokens,
           t.total_tokens, t.cost, t.nano_usd
      from public.usage_totals t where not p_full
    union all
    select r.bucket, r.provider, r.model, r.source, r.events, r.prompts, r.input_tokens, r.output_tokens, r.total_tokens,
           r.cost, r.nano_usd
      from public.usage_rollups r where p_full
  ),
  proven as (
    select d.day, q.provider, q.model, q.source,
           array[sum(q.events), sum(q.prompts), sum(q.input_tokens), sum(q.output_tokens), sum(q.total_tokens), sum(q.cost),
                 sum(q.nano_usd)] as sums
      from quarters q join days d on d.day = (q.bucket at time zone 'UTC')::date
     group by 1, 2, 3, 4
  ),
  compared as (
    select concat_ws(' ', coalesce(s.day, p.day), coalesce(s.provider, p.provider), coalesce(s.model, p.model),
                     coalesce(s.source, p.source)) as subject, s.sums as stated, p.sums as proven
      from stated s
      full join proven p
        on p.day = s.day and coalesce(p.provider, '') = coalesce(s.provider, '')
       and coalesce(p.model, '') = coalesce(s.model, '') and coalesce(p.source, '') = coalesce(s.source, '')
  )
  select 13, 'daily sums = sums of rollups', count(*),
         coalesce(
           jsonb_agg(jsonb_build_object('subject', c.subject, 'stated', c.stated, 'proven', c.proven))
             filter (where c.stated is distinct from c.proven),
           '[]'
         )
    from compared c;
end
$$;
comment on function private.prove_days(boolean) is
  'Proves the sums of days from everybody''s totals, or with p_full from the rollups, model by model; days that are to be summed anew are not used, and not proved.';

create or replace function private.prove_ledger()
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_started constant timestamptz := clock_timestamp();
  v_checks jsonb;
  v_failing jsonb;
  v_count integer;
  v_digest text;
begin
  select jsonb_agg(to_jsonb(v)) into v_checks from public.verify_ledger() v;
  select coalesce(jsonb_agg(jsonb_build_object('name', c ->> 'name', 'discrepancies', jsonb_array_length(c -> 'discrepancies'))), '[]'),
         coalesce(sum(jsonb_array_length(c -> 'discrepancies')), 0),
         md5(coalesce(string_agg(c ->> 'discrepancies', ' ' order by c ->> 'name'), ''))
    into v_failing, v_count, v_digest
    from jsonb_array_elements(v_checks) c where not (c ->> 'ok')::boolean;
  -- The same discrepancies are told once, however often they are found.
  if v_count > 0 and v_digest is distinct from (select l.digest from private.ledger_checks l order by l.id desc limit 1) then
    perform private.emit_event('ledger.discrepancy', jsonb_build_object('checks', v_failing));
    perform private.request_alert_mails('ledger.discrepancy', jsonb_build_object('checks', v_failing));
  end if;
  delete from private.ledger_checks where checked_at < now() - interval '90 days';
  insert into private.ledger_checks (milliseconds, failing, discrepancies, digest)
  values (
    extract(epoch from clock_timestamp() - v_started) * 1000,
    array(select f ->> 'name' from jsonb_array_elements(v_failing) f), v_count, v_digest
  );
  return jsonb_build_object('ok', v_count = 0, 'checks', v_checks);
end
$$;
comment on function private.prove_ledger() is
  'Runs verify_ledger, keeps what came of it, and tells webhooks and admins of new discrepancies. Returns {ok, checks}.';

create or replace function private.prune_accounts()
returns integer
language plpgsql volatile set search_path = ''
as $$
declare
  v_sessions integer;
  v_tokens integer;
  v_keys integer;
begin
  -- Skips what a request has locked; the next round finds it.
  delete from private.sessions
   where id in (select s.id from private.sessions s where s.expires_at <= now() for update skip locked);
  get diagnostics v_sessions = row_count;
  delete from private.admin_sessions where expires_at <= now();
  delete from private.refresh_tokens
   where token_hash in (select t.token_hash from private.refresh_tokens t where t.expires_at <= now() for update skip locked);
  get diagnostics v_tokens = row_count;
  -- A key that has ended stays in its owner's list for a while, so that they see why a script stopped.
  delete from private.api_keys where expires_at <= now() - interval '30 days';
  get diagnostics v_keys = row_count;
  delete from private.proof_codes where expires_at <= now();
  return v_sessions + v_tokens + v_keys + private.prune_oauth() + private.prune_password_resets() + private.prune_signup() + private.prune_mails()
    + private.prune_webhooks();
end
$$;
comment on function private.prune_accounts() is
  'Removes sessions, tokens, codes, links and keys whose time is over; returns how many.';

create or replace function private.prune_webhooks()
returns integer
language plpgsql volatile set search_path = ''
as $$
declare
  v_pruned integer;
begin
  delete from private.webhook_deliveries d
   where d.status <> 'pending'
     and d.attempted_at < now() - case d.status when 'failed' then interval '30 days' else interval '7 days' end;
  get diagnostics v_pruned = row_count;
  -- What nobody wrote a mail of in a day is no news any more.
  delete from private.alert_mails m where m.occurred_at < now() - interval '1 day';
  return v_pruned;
end
$$;
comment on function private.prune_webhooks() is
  'For maintenance: removes events that were delivered a week ago or given up a month ago, and mails about alerts that nobody wrote; returns how many events.';

-- Changes one allocation and its ledger; refuses to go below what is used and held. The caller holds the locks.
create or replace function private.record_allocation(
  p_subject_id uuid, p_tokens bigint, p_kind text, p_actor text, p_reference text
)
returns uuid
language plpgsql volatile set search_path = ''
as $$
declare
  v_balance public.balances;
  v_entry uuid;
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
  update public.balances
     set allocated = allocated + p_tokens, updated_at = now(),
         -- Where tokens come in, a person's thresholds are measured anew.
         alert_at = case
           when subject_kind = 'device' or p_tokens < 0 or p_kind not in ('grant', 'subscription') then alert_at
         end
   where subject_id = p_subject_id;
  insert into public.ledger_entries (subject_id, kind, amount, period, actor, reference)
  values (p_subject_id, p_kind, p_tokens, v_balance.period, p_actor, p_reference)
  returning id into v_entry;
  return v_entry;
end
$$;
comment on function private.record_allocation(uuid, bigint, text, text, text) is
  'Adds to (or takes from) an allocation and writes the ledger entry, whose id it returns; raises INSUFFICIENT_TOKENS.';

create or replace function private.record_by_hand()
returns trigger
language plpgsql volatile set search_path = ''
as $$
declare
  v_before jsonb;
  v_after jsonb;
  v_changed text[];
  v_why constant text := nullif(btrim(current_setting('tokenledger.by_hand', true)), '');
  v_action constant text := lower(tg_op) || '_' || tg_table_name;
begin
  if tg_level = 'STATEMENT' then
    perform private.audit_by(private.by_hand(v_why), v_action, 'table:' || tg_table_schema || '.' || tg_table_name);
    return null;
  end if;
  if tg_op <> 'INSERT' then
    v_before := to_jsonb(old);
  end if;
  if tg_op <> 'DELETE' then
    v_after := to_jsonb(new);
  end if;
  select array_agg(k order by k) into v_changed
    from jsonb_object_keys(coalesce(v_after, v_before)) as k
   where v_before -> k is distinct from v_after -> k;
  if v_changed is null then
    return null;
  end if;
  if tg_op = 'UPDATE' and v_why is null and not v_changed <@ string_to_array(tg_argv[2], ',') then
    raise exception '%.% may be changed by hand in %, not in %: %', tg_table_schema, tg_table_name,
      replace(tg_argv[2], ',', ', '),
      (select string_agg(c, ', ') from unnest(v_changed) as c where c <> all (string_to_array(tg_argv[2], ','))),
      tg_argv[4] using errcode = '42501';
  end if;
  perform private.audit_by(
    private.by_hand(v_why), v_action, tg_argv[0] || ':' || (coalesce(v_after, v_before) ->> tg_argv[1]),
    (select jsonb_object_agg(c, v_before -> c) from unnest(v_changed) as c
      where v_before is not null and c = any (string_to_array(tg_argv[3], ','))),
    (select jsonb_object_agg(c, v_after -> c) from unnest(v_changed) as c
      where v_after is not null and c = any (string_to_array(tg_argv[3], ',')))
  );
  return null;
end
$$;
comment on function private.record_by_hand() is
  'Trigger: writes a change made by SQL outside the functions into the audit log. Takes what the row is, its id''s column, the columns that may be updated, those whose values are noted, as the log can never be cleaned of what is personal, and the sentence that refuses others.';

-- The only function here that leaves search_path as it is, since that tells who writes: every other one pins it to nothing,
-- and so does what restores a backup, unlike a table editor and whoever types SQL. As a condition of the trigger it would
-- be compiled again at each statement; here it is a comparison, since metering pays for it.
create or replace function private.refuse_by_hand()
returns trigger
language plpgsql volatile
as $$
begin
  if pg_catalog.current_setting('search_path') operator(pg_catalog.=) any (array['""', '']) then
    return null;
  end if;
  perform private.judge_hand(tg_table_schema, tg_table_name, tg_op, tg_argv[0], tg_argv[1]);
  return null;
end
$$;
comment on function private.refuse_by_hand() is
  'Trigger: has judge_hand look at a change made by SQL outside the functions. Takes the sentence that names the function to call, and cascade where rows may go with others.';

create or replace function private.refuse_change()
returns trigger
language plpgsql set search_path = ''
as $$
begin
  raise exception '% is append-only: %', tg_table_name, tg_argv[0] using errcode = '42501';
end
$$;
comment on function private.refuse_change() is 'Trigger: keeps a table append-only, for its owner too. Takes the sentence that says what to do instead.';

create or replace function private.renew_device_balance(p_device_id uuid)
returns public.balances
language plpgsql volatile set search_path = ''
as $$
declare
  v_balance public.balances;
begin
  perform from public.balances b where b.subject_id = p_device_id for update;
  perform private.enter_period(array[p_device_id]);
  perform private.expire_reservations(array[p_device_id]);
  select b.* into v_balance from public.balances b where b.subject_id = p_device_id;
  return v_balance;
end
$$;
comment on function private.renew_device_balance(uuid) is
  'Brings a device''s balance into the running period, gives its expired holds back, and returns it, locked.';

-- The caller holds the device's balance, which serialises calls with this key.
create or replace function private.repeated_answer(p_device_id uuid, p_key uuid, p_request_hash bigint)
returns jsonb
language plpgsql stable set search_path = ''
as $$
declare
  v_earlier private.device_keys;
  v_event_id uuid;
begin
  select k.* into v_earlier from private.device_keys k where k.key = p_key;
  if not found then
    return null;
  elsif v_earlier.request_hash <> p_request_hash then
    return '{"code": "IDEMPOTENCY_MISMATCH"}';
  elsif v_earlier.answer is not null then
    return v_earlier.answer;
  end if;
  v_event_id := private.keyed_event_id(p_key, v_earlier.created_at);
  return jsonb_build_object(
    'event_id', v_event_id,
    'tokens_used', (
      select e.cost from public.usage_events e
       where e.subject_id = p_device_id and e.occurred_at = v_earlier.created_at and e.id = v_event_id
    ),
    'remaining', v_earlier.remaining
  );
end
$$;
comment on function private.repeated_answer(uuid, uuid, bigint) is
  'Returns the answer a device was given to an idempotency key before, made of its event where it was a debit; {code: IDEMPOTENCY_MISMATCH} for another request, null where the key is new.';

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
  if v_earlier.request_hash <> p_request_hash then
    return '{"code": "IDEMPOTENCY_MISMATCH"}';
  end if;
  return v_earlier.answer;
end
$$;
comment on function private.replayed_answer(uuid, uuid, bigint) is
  'Returns the answer given to this idempotency key before, {code: IDEMPOTENCY_MISMATCH} for another request, null where the key is new.';

create or replace function private.request_alert_mails(p_type text, p_data jsonb, p_user_id uuid default null)
returns void
language sql volatile set search_path = ''
as $$
  insert into private.alert_mails (user_id, recipient, type, data)
  select u.id, null, p_type, p_data
    from private.alert_settings s join public.users u on u.id = p_user_id
   where s.mail_people and u.email_verified_at is not null
   union all
  select null, a.address, p_type, p_data from private.alert_settings s cross join unnest(s.mail_to) as a(address)
$$;
comment on function private.request_alert_mails(text, jsonb, uuid) is
  'Asks the servers to mail the person and the admins, as the settings say; nobody whose address is not proved.';

create or replace function private.require_admin_by(p_actor jsonb)
returns jsonb
language sql stable set search_path = ''
as $$
  -- The name is never the caller's own word.
  select (p_actor - 'why') || jsonb_build_object('name', private.require_admin(p_actor))
$$;
comment on function private.require_admin_by(jsonb) is
  'Returns an operator or owner with the name to record, {id, name, request_id, address}; raises what require_admin raises.';

create or replace function private.require_count(p_tokens bigint)
returns bigint
language plpgsql immutable set search_path = ''
as $$
begin
  if p_tokens is null or p_tokens <= 0 then
    raise exception 'The number of tokens is positive, unlike %: take_back_tokens() takes tokens back', coalesce(p_tokens::text, 'null')
      using errcode = '22023';
  end if;
  return p_tokens;
end
$$;
comment on function private.require_count(bigint) is 'Returns a number of tokens; refuses one that is not positive.';

create or replace function private.require_hand_device(p_device uuid)
returns uuid
language plpgsql stable set search_path = ''
as $$
begin
  if not exists (select from public.devices d where d.id = p_device and d.deleted_at is null) then
    raise exception 'There is no device %: device_overview lists them', coalesce(p_device::text, 'null') using errcode = 'PT404';
  end if;
  return p_device;
end
$$;
comment on function private.require_hand_device(uuid) is 'Returns the id of a device somebody named by hand; refuses one that no device has, in a sentence.';

create or replace function private.require_hand_person(p_person uuid)
returns uuid
language plpgsql stable set search_path = ''
as $$
begin
  if not exists (select from public.users u where u.id = p_person) then
    raise exception 'There is no person %: user_overview lists them, and find_person(''ada@example.com'') finds one by address',
      coalesce(p_person::text, 'null') using errcode = 'PT404';
  end if;
  return p_person;
end
$$;
comment on function private.require_hand_person(uuid) is 'Returns the id of a person somebody named by hand; refuses one that nobody has, in a sentence.';

create or replace function private.require_kind(p_subject uuid)
returns text
language plpgsql stable set search_path = ''
as $$
declare
  v_kind text;
begin
  select s.kind into v_kind
    from (
      select 'device' as kind from public.devices d where d.id = p_subject and d.deleted_at is null
      union all
      select 'user' from public.users u where u.id = p_subject
    ) s;
  if not found then
    raise exception 'There is no device or person %: device_overview and user_overview list them', coalesce(p_subject::text, 'null')
      using errcode = 'PT404';
  end if;
  return v_kind;
end
$$;
comment on function private.require_kind(uuid) is 'Returns device or user, whichever has this id; refuses an id that neither has.';

create or replace function private.require_reason(p_why text)
returns jsonb
language plpgsql stable set search_path = ''
as $$
begin
  if coalesce(btrim(p_why), '') = '' then
    raise exception 'Say why: the last argument is a text that goes into the audit log' using errcode = '22023';
  end if;
  return private.by_hand(p_why);
end
$$;
comment on function private.require_reason(text) is 'Returns whoever writes SQL by hand with their reason; refuses an empty one.';

-- The item is one of meter_chat's. The caller has locked the balance, and inserts the hold and the generation.
create or replace function private.reserve_generation(
  p_user_id uuid, p_item jsonb, out answer jsonb, out hold public.reservations, out generation public.generations
)
language plpgsql volatile set search_path = ''
as $$
declare
  v_hold constant uuid := p_item ->> 'hold';
  v_model constant text := p_item ->> 'model';
  v_input constant bigint := p_item ->> 'input_estimate';
  v_wanted constant bigint := p_item ->> 'output_tokens';
  v_remaining bigint;
  v_problem text;
  v_weight public.model_weights;
  v_generation public.generations;
  v_output bigint;
  v_amount bigint;
  v_least bigint;
begin
  select b.remaining into v_remaining from public.balances b where b.subject_id = p_user_id;
  if p_user_id is null and p_item ->> 'google_subject' is not null then
    answer := '{"code": "USER_NOT_FOUND"}';
    return;
  elsif v_remaining is null then
    answer := '{"code": "INVALID_TOKEN"}';
    return;
  end if;
  v_problem := private.credential_problem(
    p_user_id, (p_item ->> 'session_id')::uuid, (p_item ->> 'api_key_id')::uuid, 'chat'
  );
  if v_problem is not null then
    answer := jsonb_build_object('code', v_problem);
    return;
  end if;

  v_weight := private.find_model_weight(v_model);
  v_generation.input_weight := coalesce(v_weight.input_weight, 1);
  v_generation.output_weight := coalesce(v_weight.output_weight, 1);
  -- Some answers, such as embeddings, have no tokens; all others have one at least.
  v_least := private.weighted_tokens(v_generation, v_input, least(v_wanted, 1));
  if v_remaining < v_least then
    perform private.note_refusal(p_user_id, v_least);
    answer := jsonb_build_object('code', 'INSUFFICIENT_TOKENS', 'requested', v_least, 'remaining', v_remaining);
    return;
  end if;
  if p_item ->> 'idempotency_key' is not null then
    v_problem := private.claim_generation_key(p_user_id, p_item);
    if v_problem is not null then
      answer := jsonb_build_object('code', v_problem);
      return;
    end if;
  end if;

  v_output := private.affordable_tokens(
    v_wanted, v_remaining - v_input * v_generation.input_weight, v_generation.output_weight
  );
  v_amount := private.weighted_tokens(v_generation, v_input, v_output);
  update public.balances b set reserved = b.reserved + v_amount, updated_at = now()
   where b.subject_id = p_user_id and b.remaining >= v_amount
  returning b.remaining into strict v_remaining;
  answer := jsonb_build_object('output_tokens', v_output, 'remaining', v_remaining);
  hold := row(
    v_hold, p_user_id, v_amount, 'held', v_model, 1, null, now() + interval '5 minutes', now(), null
  )::public.reservations;
  -- With its weights and prices, which hold for all of the request, whatever becomes of the model's.
  generation := row(
    v_hold, p_user_id, p_item ->> 'source', v_model, null, null, v_input, null, null, null, 0, null, 0, now(),
    coalesce((p_item ->> 'streamed')::boolean, false), null, null, 0, 0, v_generation.input_weight,
    v_generation.output_weight, (p_item ->> 'input_price')::numeric, (p_item ->> 'output_price')::numeric,
    (p_item ->> 'request_price')::numeric
  )::public.generations;
end
$$;
comment on function private.reserve_generation(uuid, jsonb) is
  'Reserves the tokens of a chat request in its balance. Returns the answer {output_tokens, remaining}, with the hold and the generation to insert, or {code, …} alone where it is refused. The balance must be locked by the caller.';

create or replace function private.reset_devices(p_by jsonb, p_default_tokens bigint, p_force boolean)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_actor constant text := p_by ->> 'name';
  v_total bigint;
  v_devices bigint;
begin
  select total into strict v_total from public.budgets where subject_kind = 'device' for update;
  if not p_force and exists (
    select from public.periods p where date_trunc('month', p.closed_at, 'UTC') = date_trunc('month', now(), 'UTC')
  ) then
    raise sqlstate 'PT409' using message = 'ALREADY_RESET';
  end if;
  select count(*) into v_devices from public.devices where deleted_at is null;
  if v_devices * p_default_tokens > v_total then
    raise sqlstate 'PT403' using message = 'BUDGET_EXCEEDED',
      detail = jsonb_build_object('requested', v_devices * p_default_tokens, 'remaining', v_total)::text;
  end if;
  return jsonb_build_object(
    'period', private.close_period(v_actor, p_by ->> 'request_id', p_default_tokens),
    'devices', v_devices, 'default_tokens', p_default_tokens
  );
end
$$;
comment on function private.reset_devices(jsonb, bigint, boolean) is
  'Ends the budget period and gives every device the default, in the name of {name, …}. Returns {period, devices, default_tokens}; raises ALREADY_RESET, BUDGET_EXCEEDED.';

create or replace function private.resize_pool(p_by jsonb, p_kind text, p_total bigint)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_before bigint;
begin
  select total into strict v_before from public.budgets where subject_kind = p_kind for update;
  update public.budgets set total = p_total, updated_at = now() where subject_kind = p_kind;
  perform private.audit_by(
    p_by, 'set_budget', p_kind,
    jsonb_build_object('total', v_before), jsonb_build_object('total', p_total)
  );
  return private.budget_json(p_kind);
end
$$;
comment on function private.resize_pool(jsonb, text, bigint) is
  'Sets the size of a pool, null for unlimited, in the name of {name, …}. Returns the pool.';

-- Nearly always there is a rollup to add to, whose names were told apart when it was made.
create or replace function private.roll_up_usage(p_events public.usage_events[])
returns void
language plpgsql volatile set search_path = '' set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_new public.usage_events[];
  v_total public.usage_totals;
begin
  if cardinality(p_events) = 1 then
    perform private.roll_up_use(p_events[1]);
    return;
  end if;
  v_new := private.add_to_rollups(p_events);
  if v_new is not null then
    perform private.begin_rollups(v_new);
  end if;
  for v_total in
    select date_bin('15 minutes', e.occurred_at, 'epoch'), pg_backend_pid() % 8,
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

-- One event is nearly all there is where few people are about, and is written with a third of the work.
create or replace function private.roll_up_use(p_event public.usage_events)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_bucket constant timestamptz := date_bin('15 minutes', p_event.occurred_at, 'epoch');
begin
  update public.usage_rollups r
     set events = r.events + 1,
         prompts = r.prompts + p_event.prompt_count,
         input_tokens = r.input_tokens + p_event.input_tokens,
         output_tokens = r.output_tokens + p_event.output_tokens,
         total_tokens = r.total_tokens + p_event.total_tokens,
         cost = r.cost + p_event.cost,
         nano_usd = r.nano_usd + coalesce(p_event.nano_usd, 0)
   where r.subject_id = p_event.subject_id and r.bucket = v_bucket and r.provider = p_event.provider
     and r.model = p_event.model and r.source = p_event.source;
  if not found then
    perform private.begin_rollups(array[p_event]);
  end if;
  perform private.add_to_total(row(
    v_bucket, pg_backend_pid() % 8, 1, p_event.prompt_count, p_event.input_tokens, p_event.output_tokens,
    p_event.total_tokens, p_event.cost, coalesce(p_event.nano_usd, 0)
  )::public.usage_totals);
end
$$;
comment on function private.roll_up_use(public.usage_events) is 'Adds one event to its quarter-hour rollup and total.';

create or replace function private.search_pattern(p_query text)
returns text
language sql immutable set search_path = ''
as $$
  select '%' || replace(replace(replace(lower(p_query), '\', '\\'), '%', '\%'), '_', '\_') || '%'
$$;
comment on function private.search_pattern(text) is
  'Returns the pattern of like for what has this text somewhere, in lower case; null for no text.';

create or replace function private.set_suspension(p_by jsonb, p_user_id uuid, p_suspended boolean)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_target text;
begin
  v_target := private.require_account(p_user_id);
  update public.users set suspended_at = case when p_suspended then coalesce(suspended_at, now()) end
   where id = p_user_id;
  perform private.audit_by(p_by, case when p_suspended then 'suspend_user' else 'unsuspend_user' end, v_target);
  return private.account_json(p_user_id);
end
$$;
comment on function private.set_suspension(jsonb, uuid, boolean) is
  'Keeps an account, its keys and its devices from everything, or lets them go on, in the name of {name, …}. Returns the account; raises USER_NOT_FOUND.';

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
      perform private.record_allocation(p_user_id, -v_taken, 'subscription', 'system:stripe', v_reference);
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

-- Who changes a day without a note has written to it before it was closed, so a day is summed once all transactions that were
-- under way then have ended. Notes are taken away before anything is read: whoever commits meanwhile leaves a note that stays.
create or replace function private.sum_days(p_limit integer)
returns integer
language plpgsql volatile set search_path = '' set plan_cache_mode = 'force_custom_plan' set jit = off
as $$
declare
  v_first constant date := (now() at time zone 'UTC')::date - 1100;
  v_last constant date := ((now() - interval '24 hours') at time zone 'UTC')::date - 1;
  v_day date;
  v_summed integer := 0;
begin
  insert into private.summed_days (day)
  select d::date
    from (select (min(t.bucket) at time zone 'UTC')::date as first from public.usage_totals t) kept
   cross join lateral generate_series(
     case when kept.first is not null then greatest(v_first, kept.first) end::timestamp, v_last::timestamp, interval '1 day'
   ) d
  on conflict (day) do nothing;
  -- Transactions of another cluster, which a backup came from, say nothing.
  update private.summed_days set closed_by = default where summed_at is null and closed_by > pg_current_xact_id();
  delete from private.changed_days c
   where c.day < v_first and not exists (select from private.summed_days s where s.day = c.day);

  for v_day in
    select s.day from private.summed_days s
     where case
             when s.summed_at is null then s.closed_by < pg_snapshot_xmin(pg_current_snapshot())
             else exists (select from private.changed_days c where c.day = s.day)
           end
     order by s.day desc limit p_limit
  loop
    delete from private.changed_days where day = v_day;
    delete from private.daily_usage where day = v_day;
    insert into private.daily_usage
    select v_day, r.provider, r.model, r.source, sum(r.events), sum(r.prompts), sum(r.input_tokens), sum(r.output_tokens),
           sum(r.total_tokens), sum(r.cost), sum(r.nano_usd)
      from public.usage_rollups r
     where r.bucket >= v_day::timestamp at time zone 'UTC' and r.bucket < (v_day + 1)::timestamp at time zone 'UTC'
     group by r.provider, r.model, r.source;
    update private.summed_days set summed_at = now() where day = v_day;
    v_summed := v_summed + 1;
  end loop;
  return v_summed;
end
$$;
comment on function private.sum_days(integer) is
  'Sums up days that are over, and anew those in which something changed since, so many at most; returns how many.';

create or replace function private.top_models(p_from timestamptz)
returns jsonb
language sql stable set search_path = ''
as $$
  select coalesce(jsonb_agg(to_jsonb(m) order by m.prompts desc, m.model), '[]')
    from (
      select r.model, sum(r.events)::bigint as events, sum(r.prompts)::bigint as prompts,
             sum(r.total_tokens)::bigint as total_tokens, sum(r.cost)::bigint as cost, sum(r.nano_usd)::bigint as nano_usd
        from public.usage_rollups r where r.bucket >= p_from
       group by r.model
       order by prompts desc, r.model
       limit 10
    ) m
$$;
comment on function private.top_models(timestamptz) is 'Returns the ten models everybody used most since a moment, by prompts.';

create or replace function private.top_subjects(p_kind text)
returns jsonb
language sql stable set search_path = ''
as $$
  select coalesce(jsonb_agg(to_jsonb(t) order by t.used desc, t.id), '[]')
    from (
      select b.subject_id as id, coalesce(d.name, u.email) as name, b.used, b.allocated
        from (
          -- Sorted before the join, as sorting numbers is cheap; more than ten, as some may be deleted.
          select subject_id, used, allocated from public.balances
           where subject_kind = p_kind and used > 0 order by used desc, subject_id limit 1000
        ) b
        left join public.devices d on d.id = b.subject_id and d.deleted_at is null
        left join public.users u on u.id = b.subject_id
       where coalesce(d.name, u.email) is not null
       order by b.used desc, b.subject_id
       limit 10
    ) t
$$;
comment on function private.top_subjects(text) is 'Returns the ten devices or accounts that used most of their balance, which for devices is in this period.';

create or replace function private.undo_reference(p_entry public.ledger_entries)
returns text
language sql immutable set search_path = ''
as $$
  select 'undo ' || case p_entry.kind when 'transfer' then p_entry.reference else p_entry.id::text end
$$;
comment on function private.undo_reference(public.ledger_entries) is
  'Returns the reference of the entry that undoes this one; both legs of a transfer are undone together.';

-- Within the statement of the debit, under the balance's lock: each threshold is announced once a period, also where two
-- servers debit at once, and not at all where the debit is undone. A device's period is the budget's; a person's begins
-- with the first debit after tokens came in (alert_at is null then), and is measured from there.
create or replace function private.warn_of_balance()
returns trigger
language plpgsql set search_path = ''
as $$
declare
  v_thresholds smallint[];
  v_threshold smallint;
  v_given bigint;
begin
  if new.alert_at is null or new.alert_period <> new.period then
    new.alert_base := case new.subject_kind when 'user' then old.used else 0 end;
    new.alerted := 0;
    new.exhausted := false;
  end if;
  new.alert_period := new.period;
  new.alert_allocated := new.allocated;
  v_given := greatest(new.allocated - new.alert_base, 0);
  select case new.subject_kind when 'user' then s.user_thresholds else s.device_thresholds end
    into v_thresholds from private.alert_settings s;

  foreach v_threshold in array v_thresholds loop
    continue when v_threshold <= new.alerted;
    -- The next one; looked at again when it is reached.
    new.alert_at := new.alert_base + ceil(v_given * v_threshold / 100.0);
    exit when new.used < new.alert_at;
    new.alerted := v_threshold;
    perform private.announce_balance('balance.threshold', new, v_threshold);
  end loop;
  if not new.exhausted and new.used >= new.allocated then
    new.exhausted := true;
    perform private.announce_balance('balance.exhausted', new);
  end if;
  if new.alerted >= coalesce(v_thresholds[cardinality(v_thresholds)], 0) then
    new.alert_at := case when new.exhausted then 9223372036854775807 else new.allocated end;
  end if;
  return new;
end
$$;
comment on function private.warn_of_balance() is
  'Trigger: announces each threshold a debit reaches, and the end of the balance, and works out the next.';

-- The pool of devices is measured anew in each budget period, that of people when its size changes.
create or replace function private.warn_of_pool()
returns trigger
language plpgsql set search_path = ''
as $$
declare
  v_period integer := case new.subject_kind when 'device' then (select max(p.number) from public.periods p) else 1 end;
  v_threshold smallint;
  v_data jsonb;
begin
  if new.alert_period is distinct from v_period or new.alert_total is distinct from new.total then
    new.alert_period := v_period;
    new.alert_total := new.total;
    new.alerted := 0;
  end if;
  for v_threshold in
    select t.threshold from private.alert_settings s cross join unnest(s.pool_thresholds) as t(threshold)
     where t.threshold > new.alerted and new.allocated::numeric * 100 >= new.total::numeric * t.threshold
     order by t.threshold
  loop
    new.alerted := v_threshold;
    v_data := jsonb_build_object(
      'subject_kind', 'pool', 'pool', new.subject_kind, 'threshold', v_threshold, 'total', new.total,
      'allocated', new.allocated, 'remaining', greatest(new.total - new.allocated, 0)
    );
    perform private.emit_event('balance.threshold', v_data);
    perform private.request_alert_mails('balance.threshold', v_data);
  end loop;
  return new;
end
$$;
comment on function private.warn_of_pool() is 'Trigger: announces each threshold that what is handed out of a pool reaches.';

create or replace function private.webhook_delivery_json(p_delivery private.webhook_deliveries)
returns jsonb
language sql stable set search_path = '' set timezone = 'UTC'
as $$
  select jsonb_build_object(
    'id', p_delivery.id, 'event_id', p_delivery.event_id, 'type', p_delivery.type, 'data', p_delivery.data,
    'occurred_at', p_delivery.occurred_at, 'status', p_delivery.status, 'attempts', p_delivery.attempts,
    'next_attempt_at', case when p_delivery.status = 'pending' then p_delivery.due_at end,
    'attempted_at', p_delivery.attempted_at, 'response_status', p_delivery.response_status, 'failure', p_delivery.failure
  )
$$;
comment on function private.webhook_delivery_json(private.webhook_deliveries) is 'Returns a delivery as admins see it.';

create or replace function private.webhook_endpoint_json(p_endpoint private.webhook_endpoints)
returns jsonb
language sql stable set search_path = '' set timezone = 'UTC'
as $$
  select jsonb_build_object(
    'id', p_endpoint.id, 'url', p_endpoint.url, 'events', p_endpoint.events, 'description', p_endpoint.description,
    'created_by', p_endpoint.created_by, 'created_at', p_endpoint.created_at, 'disabled_at', p_endpoint.disabled_at,
    'pending', (
      select count(*) from private.webhook_deliveries d where d.endpoint_id = p_endpoint.id and d.status = 'pending'
    ),
    'failed', (
      select count(*) from private.webhook_deliveries d where d.endpoint_id = p_endpoint.id and d.status = 'failed'
    )
  )
$$;
comment on function private.webhook_endpoint_json(private.webhook_endpoints) is
  'Returns an endpoint as admins see it, without its secret, with how many of its deliveries wait or were given up.';

create or replace function private.write_noted_generations(p_generations public.generations[])
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  update public.generations g
     set provider = n.provider, upstream_id = n.upstream_id, input_seen = n.input_seen, output_seen = n.output_seen,
         input_floor = n.input_floor, output_floor = n.output_floor
    from unnest(p_generations) n
   where g.id = n.id;
end
$$;
comment on function private.write_noted_generations(public.generations[]) is
  'Writes what note_generation returned, for all of them at once.';

create or replace function public.add_person(p_email text, p_tokens bigint default 0, p_name text default null)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_detail text;
begin
  if p_email is null or p_email !~ '^[^@\s]+@[^@\s]+$' or length(p_email) > 320 then
    raise exception 'This is no address: %', coalesce(p_email, 'null') using errcode = '22023';
  end if;
  return private.add_account(private.by_hand(), lower(p_email), greatest(coalesce(p_tokens, 0), 0), p_name, null);
exception
  when sqlstate 'PT400' or sqlstate 'PT403' or sqlstate 'PT404' or sqlstate 'PT409' or sqlstate 'PT422' then
    get stacked diagnostics v_detail = pg_exception_detail;
    raise exception using message = private.explain_refusal(sqlerrm, v_detail), errcode = sqlstate;
end
$$;
comment on function public.add_person(text, bigint, text) is
  'For the SQL editor: creates an account with its first tokens; its owner sets a password through the link for forgotten ones. Returns the account.';

create or replace function public.allocate(
  p_actor jsonb, p_kind text, p_subject_id uuid, p_tokens bigint, p_from_id uuid default null, p_key text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes balances, pools and the ledger, which no API role may.
begin
  return private.allocate_tokens(private.require_admin_by(p_actor), p_kind, p_subject_id, p_tokens, p_from_id, p_key);
end
$$;
grant execute on function public.allocate(jsonb, text, uuid, bigint, uuid, text) to service_role;
comment on function public.allocate(jsonb, text, uuid, bigint, uuid, text) is
  'Gives tokens from the pool, takes unused ones back (negative), or moves them between two subjects. Returns the balance, with from for a transfer, what both were before, and the ledger entries; raises BUDGET_EXCEEDED, INSUFFICIENT_TOKENS, SELF_TRANSFER, …_NOT_FOUND, IDEMPOTENCY_MISMATCH.';

create or replace function public.block_device(p_device uuid, p_why text default null)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
begin
  perform private.require_hand_device(p_device);
  if exists (select from public.devices d where d.id = p_device and d.blocked = true) then
    return private.device_json(p_device);
  end if;
  return private.change_device(private.by_hand(p_why), p_device, p_blocked => true);
end
$$;
comment on function public.block_device(uuid, text) is
  'For the SQL editor: keeps a device from everything, from its very next request on, with an audit line. Does nothing where that is so already. Returns the device.';

-- A preview does everything and takes it back: it can say nothing but what would happen.
create or replace function public.change_many(
  p_actor jsonb, p_kind text, p_ids uuid[], p_change jsonb, p_dry_run boolean, p_key text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: changes devices, accounts and balances, which no API role may.
declare
  v_request jsonb := jsonb_build_array('change_many', p_kind, to_jsonb(p_ids), p_change);
  v_before jsonb;
  v_after jsonb;
  v_items jsonb[] := '{}';
  v_id uuid;
  v_item jsonb;
  v_code text;
  v_refused integer := 0;
  v_answer jsonb;
begin
  perform private.require_admin(p_actor);
  perform from public.users u where p_kind = 'user' and u.id = any (p_ids) order by u.id for update;
  perform from public.budgets where subject_kind = p_kind for update;
  v_answer := private.earlier_answer((p_actor ->> 'id')::uuid, p_key, v_request);
  if v_answer is not null then
    return v_answer;
  end if;
  perform from public.balances b where b.subject_id = any (p_ids) order by b.subject_id for update;
  v_before := private.budget_json(p_kind);
  begin
    for v_id in select distinct i from unnest(p_ids) i order by 1 loop
      v_item := jsonb_build_object(
        'id', v_id,
        'name', coalesce(
          (select d.name from public.devices d where d.id = v_id and d.deleted_at is null),
          (select u.email from public.users u where u.id = v_id)
        ),
        'before', private.balance_json(v_id)
      );
      begin
        v_answer := private.change_one(p_actor, p_kind, v_id, p_change);
        v_item := v_item || jsonb_build_object(
          'after', private.balance_json(v_id), 'entry', v_answer #> '{entries,0,id}', 'code', null
        );
      exception
        when others then
          if sqlstate not like 'PT4%' or sqlstate = 'PT401' then
            raise;
          end if;
          get stacked diagnostics v_code = message_text;
          v_refused := v_refused + 1;
          v_item := v_item || jsonb_build_object('after', null, 'entry', null, 'code', v_code);
      end;
      v_items := v_items || v_item;
    end loop;
    v_after := private.budget_json(p_kind);
    if p_dry_run or v_refused > 0 then
      raise sqlstate 'TL000';
    end if;
  exception
    when sqlstate 'TL000' then null;
  end;
  if v_refused > 0 and not p_dry_run then
    raise sqlstate 'PT409' using message = 'BULK_REFUSED', detail = jsonb_build_object('refused', v_refused)::text;
  end if;
  v_answer := jsonb_build_object(
    'applied', not p_dry_run, 'refused', v_refused, 'items', to_jsonb(v_items),
    'pool', jsonb_build_object('before', v_before, 'after', v_after)
  );
  if p_key is not null and not p_dry_run then
    perform private.remember_answer(
      (p_actor ->> 'id')::uuid, private.idempotency_key_hash(p_key), private.request_hash(v_request), v_answer
    );
  end if;
  return v_answer;
end
$$;
grant execute on function public.change_many(jsonb, text, uuid[], jsonb, boolean, text) to service_role;
comment on function public.change_many(jsonb, text, uuid[], jsonb, boolean, text) is
  'Does {action, tokens, tier, api_keys} to all of the devices or accounts or to none. Returns {applied, refused, items: [{id, name, before, after, entry, code}], pool}; a dry run takes everything back and tells of each what would come of it. Raises BULK_REFUSED where one is refused, IDEMPOTENCY_MISMATCH.';

create or replace function public.check_ledger(p_hours integer)
returns jsonb
language plpgsql volatile security definer set search_path = '' set statement_timeout = '15min'
as $$
-- Definer: verify_ledger reads every row.
begin
  -- One server is enough, and one check at a time.
  if not pg_try_advisory_xact_lock(hashtext('public.check_ledger')) or exists (
    select from private.ledger_checks l where l.checked_at > now() - make_interval(hours => p_hours)
  ) then
    return jsonb_build_object('ran', false);
  end if;
  return jsonb_build_object('ran', true, 'ok', private.prove_ledger() -> 'ok');
end
$$;
grant execute on function public.check_ledger(integer) to service_role;
comment on function public.check_ledger(integer) is
  'Proves the books where that was not done for so many hours. Returns {ran, ok}; ran false where it is not due, or another server is at it.';

-- A server that dies with a delivery in its hands leaves it due a minute later, which is longer than an attempt takes.
create or replace function public.claim_webhook_deliveries(p_limit integer)
returns jsonb
language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: reads and writes deliveries, which no API role may.
declare
  v_deliveries jsonb;
begin
  with due as (
    select d.id from private.webhook_deliveries d
     where d.id in (select n.id from private.next_webhook_deliveries() n where n.due_at <= now())
       and d.status = 'pending' and d.due_at <= now()
     order by d.due_at, d.id limit p_limit for update skip locked
  ), claimed as (
    update private.webhook_deliveries d
       set attempts = d.attempts + 1, attempted_at = now(), due_at = now() + interval '1 minute', failure = null
      from due where d.id = due.id
    returning d.*
  )
  select coalesce(jsonb_agg(jsonb_build_object(
           'id', c.id, 'event_id', c.event_id, 'type', c.type, 'occurred_at', c.occurred_at, 'data', c.data,
           'attempt', c.attempts, 'endpoint_id', e.id, 'url', e.url, 'sealed_secret', encode(e.sealed_secret, 'base64')
         ) order by c.id), '[]')
    into v_deliveries
    from claimed c join private.webhook_endpoints e on e.id = c.endpoint_id;
  return jsonb_build_object(
    'deliveries', v_deliveries,
    'next_seconds', (
      select greatest(ceil(extract(epoch from min(n.due_at) - now())), 0)::integer from private.next_webhook_deliveries() n
      -- Of nothing there is no least one, and greatest() would make 0 of it.
      having count(*) > 0
    )
  );
end
$$;
grant execute on function public.claim_webhook_deliveries(integer) to service_role;
comment on function public.claim_webhook_deliveries(integer) is
  'Hands out deliveries that are due to one server, for a minute. Returns {deliveries: [{id, event_id, type, occurred_at, data, attempt, endpoint_id, url, sealed_secret}], next_seconds: until the next one is due, or null}.';

create or replace function public.create_user(
  p_actor jsonb, p_email text, p_default_tokens bigint, p_name text default null, p_password_hash text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: writes users, credentials and balances, which no API role may.
begin
  return private.add_account(private.require_admin_by(p_actor), p_email, p_default_tokens, p_name, p_password_hash);
end
$$;
grant execute on function public.create_user(jsonb, text, bigint, text, text) to service_role;
comment on function public.create_user(jsonb, text, bigint, text, text) is
  'Creates an account with its default tokens; the password hash may be null. Returns the account; raises EMAIL_TAKEN.';

create or replace function public.create_webhook(
  p_actor jsonb, p_url text, p_events text[], p_secret text, p_description text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes endpoints, which no API role may.
declare
  v_actor text := private.require_admin(p_actor, 'owner');
  v_endpoint private.webhook_endpoints;
begin
  -- Each event costs its cause a row an endpoint.
  perform pg_advisory_xact_lock(hashtext('public.create_webhook'));
  if (select count(*) from private.webhook_endpoints) >= 20 then
    raise sqlstate 'PT409' using message = 'WEBHOOK_LIMIT';
  end if;
  insert into private.webhook_endpoints (url, events, description, sealed_secret, created_by)
  values (p_url, p_events, p_description, decode(p_secret, 'base64'), v_actor)
  returning * into v_endpoint;
  perform private.audit_admin(
    p_actor, 'create_webhook', 'webhook:' || v_endpoint.id, null, jsonb_build_object('url', p_url, 'events', p_events)
  );
  return private.webhook_endpoint_json(v_endpoint);
end
$$;
grant execute on function public.create_webhook(jsonb, text, text[], text, text) to service_role;
comment on function public.create_webhook(jsonb, text, text[], text, text) is
  'Keeps an endpoint with its sealed secret (base64), for an owner. Returns it; raises WEBHOOK_LIMIT beyond 20.';

-- In plpgsql because it keeps its plan: policies ask for it with every read.
create or replace function public.current_device_id()
returns uuid
language plpgsql stable security definer set search_path = '' set plan_cache_mode = 'force_generic_plan'
as $$
-- Definer: policies ask for it before they let a device see any row.
declare
  v_claims constant jsonb := auth.jwt();
begin
  -- A person's token names none.
  if not v_claims ? 'device_id' then
    return null;
  end if;
  return (
    select d.id
      from public.devices d
     where d.id = (v_claims ->> 'device_id')::uuid
       and d.token_version = (v_claims ->> 'device_version')::integer
       and not d.blocked and d.deleted_at is null
  );
end
$$;
grant execute on function public.current_device_id() to authenticated;
comment on function public.current_device_id() is
  'Returns the device the request''s token is about; null where that is blocked or removed, or the token''s version (device_version) has ended.';

-- In plpgsql because it keeps its plans: policies ask for it several times with every read.
create or replace function public.current_user_id()
returns uuid
language plpgsql stable security definer set search_path = '' set plan_cache_mode = 'force_generic_plan'
as $$
-- Definer: no API role may read sessions and keys, but policies must ask for them.
declare
  v_claims constant jsonb := auth.jwt();
  v_user_id constant uuid := v_claims ->> 'sub';
begin
  if private.credential_problem(v_user_id, (v_claims ->> 'sid')::uuid, (v_claims ->> 'key_id')::uuid, null) is null then
    return v_user_id;
  end if;
  return null;
end
$$;
grant execute on function public.current_user_id() to authenticated;
comment on function public.current_user_id() is
  'Returns the account the request''s token is about; null where it is suspended, or the session (sid) or API key (key_id) it names has ended.';

-- Reads balances, rollups and totals, never events.
create or replace function public.dashboard(
  p_actor jsonb, p_limit integer, p_sort text, p_query text default null, p_after_value text default null, p_after_id uuid default null
)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: reads every device, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  return jsonb_build_object(
    'budget', private.budget_json('device') || jsonb_build_object('users', private.budget_json('user')),
    'device_count', (select count(*) from public.devices where deleted_at is null),
    'devices', private.device_page(p_query, p_limit, p_sort, p_after_value, p_after_id),
    'usage', private.usage_by_day(30),
    'top_devices', private.top_subjects('device')
  );
end
$$;
grant execute on function public.dashboard(jsonb, integer, text, text, text, uuid) to service_role;
comment on function public.dashboard(jsonb, integer, text, text, text, uuid) is
  'Returns what the admin dashboard shows: pools, one page of devices, 30 days of usage, the ten devices that used most in this period.';

create or replace function public.day_start(p_day date, p_time_zone text)
returns timestamptz
language plpgsql stable set search_path = ''
as $$
declare
  v_midnight constant timestamp := p_day;
  v_start constant timestamptz := v_midnight at time zone p_time_zone;
begin
  -- Nearly always: no clock was set back shortly before.
  if (v_start - interval '2 hours') at time zone p_time_zone = v_midnight - interval '2 hours' then
    return v_start;
  end if;
  -- Where clocks are set back over midnight the day begins at the first of two midnights; Postgres names the second.
  return (
    select min(m.moment)
      from (select v_start - n * interval '15 minutes' as moment from generate_series(0, 8) n) m
     where m.moment at time zone p_time_zone >= v_midnight
  );
end
$$;
grant execute on function public.day_start(date, text) to authenticated;
comment on function public.day_start(date, text) is 'Returns the first moment of a day in a time zone, to the quarter hour.';

create or replace function public.delete_account_as(p_actor jsonb, p_user_id uuid)
returns jsonb
language plpgsql volatile security definer set search_path = '' set statement_timeout = '15min'
as $$
-- Definer: removes what no API role may write.
begin
  return private.drop_account(private.require_admin_by(p_actor), p_user_id);
end
$$;
grant execute on function public.delete_account_as(jsonb, uuid) to service_role;
comment on function public.delete_account_as(jsonb, uuid) is
  'Removes an account as its owner could. Returns {deleted}; raises USER_NOT_FOUND, and SUBSCRIPTION_RUNNING while Stripe knows the person.';

create or replace function public.delete_device(p_actor jsonb, p_device_id uuid)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes devices, balances, the pool and the ledger, which no API role may.
begin
  return private.drop_device(private.require_admin_by(p_actor), p_device_id);
end
$$;
grant execute on function public.delete_device(jsonb, uuid) to service_role;
comment on function public.delete_device(jsonb, uuid) is
  'Removes a device: its tokens die, its unused tokens return to the pool, its usage stays. Returns {device_id, returned}.';

create or replace function public.delete_webhook(p_actor jsonb, p_id uuid)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes endpoints, which no API role may.
declare
  v_url text;
begin
  perform private.require_admin(p_actor, 'owner');
  delete from private.webhook_endpoints e where e.id = p_id returning e.url into v_url;
  if not found then
    raise sqlstate 'PT404' using message = 'WEBHOOK_NOT_FOUND';
  end if;
  perform private.audit_admin(p_actor, 'delete_webhook', 'webhook:' || p_id, jsonb_build_object('url', v_url));
  return jsonb_build_object('deleted', true);
end
$$;
grant execute on function public.delete_webhook(jsonb, uuid) to service_role;
comment on function public.delete_webhook(jsonb, uuid) is
  'Removes an endpoint with all that waits for it, for an owner. Returns {deleted}; raises WEBHOOK_NOT_FOUND.';

create or replace function public.end_account_sessions(p_actor jsonb, p_user_id uuid, p_api_keys boolean)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes sessions and keys, which no API role may.
begin
  return private.close_account_sessions(private.require_admin_by(p_actor), p_user_id, p_api_keys);
end
$$;
grant execute on function public.end_account_sessions(jsonb, uuid, boolean) to service_role;
comment on function public.end_account_sessions(jsonb, uuid, boolean) is
  'Ends every session of an account and, where wished, every API key. Returns {ended, api_keys}; raises USER_NOT_FOUND.';

create or replace function public.end_person_sessions(p_person uuid, p_api_keys boolean default false, p_why text default null)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
begin
  return private.close_account_sessions(private.by_hand(p_why), private.require_hand_person(p_person), coalesce(p_api_keys, false));
end
$$;
comment on function public.end_person_sessions(uuid, boolean, text) is
  'For the SQL editor: ends every session of a person and, with true, every API key. Returns {ended, api_keys}.';

create or replace function public.find_person(p_email text)
returns uuid
language plpgsql stable set search_path = ''
as $$
declare
  v_id uuid;
begin
  select u.id into v_id from public.users u where u.email = lower(btrim(p_email));
  if not found then
    raise exception 'Nobody has the address %: user_overview lists everybody', coalesce(p_email, 'null') using errcode = 'PT404';
  end if;
  return v_id;
end
$$;
comment on function public.find_person(text) is
  'For the SQL editor: returns the id of the person with this address.';

create or replace function public.get_alert_settings(p_actor jsonb)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: reads the settings, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  return private.alert_settings_json();
end
$$;
grant execute on function public.get_alert_settings(jsonb) to service_role;
comment on function public.get_alert_settings(jsonb) is 'Returns {device_thresholds, user_thresholds, pool_thresholds, mail_people, mail_to, updated_at}.';

create or replace function public.get_managed_device(p_actor jsonb, p_device_id uuid)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: reads every device, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  perform private.require_subject('device', p_device_id);
  return (
    select private.device_json(d.id) || jsonb_build_object(
             'user', case when u.id is not null then
               jsonb_build_object('id', u.id, 'email', u.email, 'name', private.display_name(u))
             end,
             'period', b.period, 'created_at', d.created_at, 'last_registered_at', d.last_registered_at,
             'last_used_at', private.last_used_at(d.id), 'has_secret', d.secret_hash is not null,
             'usage_this_month', private.device_models_this_month(d.id),
             'periods', (
               select coalesce(jsonb_agg(to_jsonb(h) - 'subject_id' order by h.period desc), '[]')
                 from (
                   select p.* from public.period_balances p where p.subject_id = d.id order by p.period desc limit 12
                 ) h
             )
           )
      from public.devices d
      join public.balances b on b.subject_id = d.id
      left join public.users u on u.id = d.user_id
     where d.id = p_device_id
  );
end
$$;
grant execute on function public.get_managed_device(jsonb, uuid) to service_role;
comment on function public.get_managed_device(jsonb, uuid) is
  'Returns a device for an admin, with its owner, this month''s usage by model and its last twelve periods; raises DEVICE_NOT_FOUND.';

-- Reads balances, rollups and totals, never events.
create or replace function public.get_overview(p_actor jsonb)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC' set jit = off
as $$
-- Definer: reads everybody's, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  return jsonb_build_object(
    'pools', jsonb_build_object('devices', private.budget_json('device'), 'users', private.budget_json('user')),
    'devices', (
      select jsonb_build_object(
               'count', count(*), 'blocked', count(*) filter (where d.blocked),
               'near_limit', count(*) filter (where b.remaining * 10 <= b.allocated)
             )
        from public.devices d join public.balances b on b.subject_id = d.id where d.deleted_at is null
    ),
    'people', (
      select jsonb_build_object(
               'count', count(*), 'suspended', count(*) filter (where u.suspended_at is not null),
               'near_limit', count(*) filter (where b.remaining * 10 <= b.allocated)
             )
        from public.users u left join public.balances b on b.subject_id = u.id
    ),
    'period', (
      select jsonb_build_object('number', p.number, 'started_at', p.started_at, 'default_tokens', p.default_tokens)
        from public.periods p order by p.number desc limit 1
    ),
    'ledger', (
      select jsonb_build_object('checked_at', c.checked_at, 'discrepancies', c.discrepancies, 'failing', to_jsonb(c.failing))
        from private.ledger_checks c order by c.id desc limit 1
    ),
    'usage', private.usage_by_day(30),
    'top_devices', private.top_subjects('device'),
    'top_people', private.top_subjects('user'),
    'top_models', private.top_models(date_trunc('day', now(), 'UTC') - interval '29 days')
  );
end
$$;
grant execute on function public.get_overview(jsonb) to service_role;
comment on function public.get_overview(jsonb) is
  'Returns what the console shows first: pools, counts of devices and people, the period, the last proof of the books, 30 days of usage, and who and what used most.';

create or replace function public.get_own_admin(p_actor jsonb)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: no API role may read admins.
begin
  perform private.require_admin(p_actor, null);
  return (
    select jsonb_build_object(
             'id', a.id, 'username', a.username, 'role', a.role, 'expires_at', s.expires_at,
             'second_factor', exists (
               select from private.admin_second_factors f where f.admin_id = a.id and f.confirmed_at is not null
             ),
             'second_factor_missing', (p_actor ->> 'second_factor_required')::boolean and not s.second_factor
           )
      from private.admin_sessions s join private.admins a on a.id = s.admin_id
     where s.id = (p_actor ->> 'session_id')::uuid
  );
end
$$;
grant execute on function public.get_own_admin(jsonb) to service_role;
comment on function public.get_own_admin(jsonb) is
  'Returns who the calling admin is: {id, username, role, second_factor, second_factor_missing, expires_at}.';

create or replace function public.give_plan(p_person uuid, p_tier text, p_why text default null)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_detail text;
begin
  if not exists (select from public.plans p where p.tier = p_tier) then
    raise exception 'There is no tier %: they are free, pro and premium', coalesce(p_tier, 'null') using errcode = '22023';
  end if;
  return private.give_tier(private.by_hand(p_why), private.require_hand_person(p_person), p_tier);
exception
  when sqlstate 'PT400' or sqlstate 'PT403' or sqlstate 'PT404' or sqlstate 'PT409' or sqlstate 'PT422' then
    get stacked diagnostics v_detail = pg_exception_detail;
    raise exception using message = private.explain_refusal(sqlerrm, v_detail), errcode = sqlstate;
end
$$;
comment on function public.give_plan(uuid, text, text) is
  'For the SQL editor: gives a person a tier without payment, or takes it back with free, with an audit line. Returns the account.';

create or replace function public.grant_tokens(p_subject uuid, p_tokens bigint, p_why text, p_key text default null)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_detail text;
begin
  return private.allocate_tokens(
    private.require_reason(p_why), private.require_kind(p_subject), p_subject, private.require_count(p_tokens), null, p_key
  );
exception
  when sqlstate 'PT400' or sqlstate 'PT403' or sqlstate 'PT404' or sqlstate 'PT409' or sqlstate 'PT422' then
    get stacked diagnostics v_detail = pg_exception_detail;
    raise exception using message = private.explain_refusal(sqlerrm, v_detail), errcode = sqlstate;
end
$$;
comment on function public.grant_tokens(uuid, bigint, text, text) is
  'For the SQL editor: gives a device or person tokens from its pool, with a ledger entry and an audit line that says why. The same p_key again does nothing more. Returns the balance.';

create or replace function public.list_account_ledger(
  p_actor jsonb, p_user_id uuid, p_limit integer, p_before_at text default null, p_before_id uuid default null
)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: reads everybody's ledger, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  perform private.account_json(p_user_id);
  return private.ledger_page(p_user_id, p_limit, p_before_at, p_before_id);
end
$$;
grant execute on function public.list_account_ledger(jsonb, uuid, integer, text, uuid) to service_role;
comment on function public.list_account_ledger(jsonb, uuid, integer, text, uuid) is
  'Returns what changed the allocation of an account and who did it, newest first; before (time, id) to page on. Raises USER_NOT_FOUND.';

create or replace function public.list_accounts(
  p_actor jsonb, p_limit integer, p_sort text, p_query text default null, p_filter text default null,
  p_after_value text default null, p_after_id uuid default null
)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC' set jit = off
as $$
-- Definer: reads every account, which no API role may.
declare
  v_count bigint;
begin
  perform private.require_admin(p_actor, 'viewer');
  execute format(
    $query$
      select count(*)
        from public.users u
        left join public.balances b on b.subject_id = u.id
        left join public.subscriptions s on s.user_id = u.id
       where ($1 is null or u.email like $1 or lower(u.name) like $1 or u.id::text like $1)
         and %s
    $query$, private.account_filter(p_filter)
  ) into v_count using private.search_pattern(p_query);
  return jsonb_build_object(
    'count', v_count,
    'users', private.account_page(p_query, p_filter, p_limit, p_sort, p_after_value, p_after_id)
  );
end
$$;
grant execute on function public.list_accounts(jsonb, integer, text, text, text, text, uuid) to service_role;
comment on function public.list_accounts(jsonb, integer, text, text, text, text, uuid) is
  'Returns accounts for an admin: {count, users}, one page of those that match a query and a filter; sort_value and id of the last row page on.';

create or replace function public.list_alert_mails(p_limit integer)
returns jsonb
language sql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: reads private.alert_mails, which no API role may.
  select coalesce(jsonb_agg(to_jsonb(page) order by page.occurred_at, page.id), '[]')
    from (
      select m.id, m.user_id is not null as to_person, m.type, m.data, m.occurred_at, d.name as device_name
        from private.alert_mails m
        left join public.devices d on d.id = (m.data ->> 'subject_id')::uuid and m.data ->> 'subject_kind' = 'device'
       order by m.occurred_at, m.id
       limit p_limit
    ) page
$$;
grant execute on function public.list_alert_mails(integer) to service_role;
comment on function public.list_alert_mails(integer) is
  'Returns mails about alerts that are yet to be written, oldest first: [{id, to_person, type, data, occurred_at, device_name}]; no address.';

create or replace function public.list_audit(
  p_actor jsonb, p_limit integer, p_before bigint default null, p_target text default null, p_who text default null,
  p_action text default null, p_from timestamptz default null, p_to timestamptz default null
)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: no API role may read audit_log.
begin
  perform private.require_admin(p_actor, 'viewer');
  return (
    select coalesce(jsonb_agg(to_jsonb(page) order by page.id desc), '[]')
      from (
        select a.* from public.audit_log a
         where (p_before is null or a.id < p_before) and (p_target is null or a.target = p_target)
           and (p_who is null or a.actor = p_who) and (p_action is null or a.action = p_action)
           and (p_from is null or a.created_at >= p_from) and (p_to is null or a.created_at < p_to)
         order by a.id desc
         limit p_limit
      ) page
  );
end
$$;
grant execute on function public.list_audit(jsonb, integer, bigint, text, text, text, timestamptz, timestamptz) to service_role;
comment on function public.list_audit(jsonb, integer, bigint, text, text, text, timestamptz, timestamptz) is 'Returns the audit log, newest first; before an id to page on, of one target, actor or action, or between two times.';

create or replace function public.list_device_ledger(
  p_actor jsonb, p_device_id uuid, p_limit integer, p_before_at text default null, p_before_id uuid default null
)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: reads everybody's ledger, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  perform private.require_subject('device', p_device_id);
  return private.ledger_page(p_device_id, p_limit, p_before_at, p_before_id);
end
$$;
grant execute on function public.list_device_ledger(jsonb, uuid, integer, text, uuid) to service_role;
comment on function public.list_device_ledger(jsonb, uuid, integer, text, uuid) is
  'Returns what changed the allocation of a device and who did it, newest first; before (time, id) to page on. Raises DEVICE_NOT_FOUND.';

create or replace function public.list_devices(
  p_actor jsonb, p_limit integer, p_sort text, p_query text default null, p_filter text default null,
  p_after_value text default null, p_after_id uuid default null
)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC' set jit = off
as $$
-- Definer: reads every device, which no API role may.
declare
  v_count bigint;
begin
  perform private.require_admin(p_actor, 'viewer');
  execute format(
    $query$
      select count(*)
        from public.devices d
        join public.balances b on b.subject_id = d.id
        left join public.users u on u.id = d.user_id
       where d.deleted_at is null
         and ($1 is null or lower(d.name) like $1 or u.email like $1 or d.id::text like $1)
         and %s
    $query$, private.device_filter(p_filter)
  ) into v_count using private.search_pattern(p_query);
  return jsonb_build_object(
    'count', v_count,
    'devices', private.device_page(p_query, p_limit, p_sort, p_after_value, p_after_id, p_filter)
  );
end
$$;
grant execute on function public.list_devices(jsonb, integer, text, text, text, text, uuid) to service_role;
comment on function public.list_devices(jsonb, integer, text, text, text, text, uuid) is
  'Returns devices for an admin: {count, devices}, one page of those that match a query and a filter; sort_value and id of the last row page on.';

create or replace function public.list_plans(p_actor jsonb)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: no API role may read plans or subscriptions.
begin
  perform private.require_admin(p_actor, 'viewer');
  return (
    select jsonb_agg(
             to_jsonb(p) || jsonb_build_object(
               'accounts', case
                 when p.tier = 'free' then (select count(*) from public.users) - paying.everybody else coalesce(t.accounts, 0)
               end
             ) order by p.monthly_tokens, p.tier
           )
      from public.plans p
     cross join lateral (
       select count(*) as everybody from public.subscriptions s where public.effective_tier(s) <> 'free'
     ) paying
      left join (
        select public.effective_tier(s) as tier, count(*) as accounts from public.subscriptions s group by 1
      ) t on t.tier = p.tier
  );
end
$$;
grant execute on function public.list_plans(jsonb) to service_role;
comment on function public.list_plans(jsonb) is
  'Returns what each tier is worth and how many accounts have it: [{tier, monthly_tokens, device_limit, updated_at, accounts}].';

create or replace function public.list_webhook_deliveries(
  p_actor jsonb, p_id uuid, p_limit integer, p_status text default null, p_before bigint default null
)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: reads deliveries, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  if not exists (select from private.webhook_endpoints e where e.id = p_id) then
    raise sqlstate 'PT404' using message = 'WEBHOOK_NOT_FOUND';
  end if;
  return (
    select coalesce(jsonb_agg(private.webhook_delivery_json(page) order by page.id desc), '[]')
      from (
        select d.* from private.webhook_deliveries d
         where d.endpoint_id = p_id and (p_status is null or d.status = p_status) and (p_before is null or d.id < p_before)
         order by d.id desc
         limit p_limit
      ) page
  );
end
$$;
grant execute on function public.list_webhook_deliveries(jsonb, uuid, integer, text, bigint) to service_role;
comment on function public.list_webhook_deliveries(jsonb, uuid, integer, text, bigint) is
  'Returns what was sent to an endpoint or waits to be, newest first, of one status where that is given; before an id to page on. Raises WEBHOOK_NOT_FOUND.';

create or replace function public.list_webhooks(p_actor jsonb)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: reads endpoints, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  return (
    select jsonb_build_object(
             'webhooks', coalesce(jsonb_agg(private.webhook_endpoint_json(e) order by e.created_at, e.id), '[]')
           )
      from private.webhook_endpoints e
  );
end
$$;
grant execute on function public.list_webhooks(jsonb) to service_role;
comment on function public.list_webhooks(jsonb) is 'Returns {webhooks}: every endpoint, oldest first, without secrets.';

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
    delete from private.idempotency_keys k
     where date_bin('1 hour', k.created_at, 'epoch') < date_bin('1 hour', now() - interval '48 hours', 'epoch') returning 1
  ), pruned_of_devices as (
    delete from private.device_keys k
     where date_bin('1 hour', k.created_at, 'epoch') < date_bin('1 hour', now() - interval '48 hours', 'epoch') returning 1
  )
  select (select count(*) from pruned) + (select count(*) from pruned_of_devices) into v_keys;
  delete from private.login_attempts where window_ends_at < now();
  delete from private.known_addresses where last_login_at < now() - interval '180 days';
  v_ended := private.prune_accounts();
  -- What names were told apart is of use as long as there are events.
  delete from private.rollup_names n
   where n.day < (select min(p.lower_bound) at time zone 'UTC' from private.usage_partitions() p);
  perform private.sum_days(31);
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
  'Creates partitions ahead, expires holds, settles chat requests whose server went away, sums up days that are over, prunes idempotency keys, log-in counters and credentials that have ended; with p_monthly_tokens resets at the month''s start, with p_retention_months drops older uses of features. Returns what it did, ran false where another one is at it.';

create or replace function public.meter_chat(p_items jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = '' set plan_cache_mode = 'force_generic_plan'
-- A session keeps its plans, also those it made while the tables were small, when reading them whole looked cheapest.
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
-- Definer: the only writer of generations; no API role may write balances, holds or events itself.
declare
  v_count constant integer := jsonb_array_length(p_items);
  v_item jsonb;
  v_op text;
  v_hold uuid;
  v_subject uuid;
  v_subjects uuid[] := '{}';
  v_is_late boolean;
  v_has_late boolean := false;
  v_has_lost boolean;
  v_running record;
  v_reserved record;
  v_noted record;
  v_settled record;
  v_answers jsonb[] := array_fill(null::jsonb, array[v_count]);
  v_new_holds public.reservations[] := '{}';
  v_new_generations public.generations[] := '{}';
  v_changed_ids uuid[] := '{}';
  v_noted_generations public.generations[] := '{}';
  v_closed_holds public.reservations[] := '{}';
  v_closed_generations public.generations[] := '{}';
  v_events public.usage_events[] := '{}';
begin
  -- Whose balance each item is about.
  for v_at in 1 .. v_count loop
    v_item := p_items -> v_at - 1;
    v_subject := v_item ->> 'id';
    v_hold := v_item ->> 'hold';
    if v_item ->> 'op' <> 'reserve' then
      select g.subject_id, g.provenance = 'estimated' and v_item ->> 'op' = 'settle' into v_subject, v_is_late
        from public.generations g where g.id = v_hold;
      v_has_late := v_has_late or v_is_late is true;
    elsif v_subject is null then
      select e.user_id into v_subject from private.external_identities e
       where e.provider = 'google' and e.subject = v_item ->> 'google_subject';
    end if;
    v_subjects[v_at] := v_subject;
  end loop;

  -- What was given up for lost is corrected, which takes the pool, and the pool comes before the balances.
  if v_has_late then
    perform from public.budgets where subject_kind = 'user' for update;
  end if;
  select coalesce(bool_or(l.has_lost), false) into v_has_lost
    from (
      select exists (
               select from public.reservations r
                where r.subject_id = b.subject_id and r.status = 'held' and r.expires_at <= now()
             ) as has_lost
        from public.balances b
       where b.subject_id = any (v_subjects)
       order by b.subject_id
         for update
    ) l;
  if v_has_lost then
    -- A server that comes back late knows better what its stream came to than the hold does.
    perform private.settle_lost_generations(
      v_subjects, now(), array(select (i ->> 'hold')::uuid from jsonb_array_elements(p_items) i)
    );
  end if;

  for v_at in 1 .. v_count loop
    v_item := p_items -> v_at - 1;
    v_op := v_item ->> 'op';
    v_hold := v_item ->> 'hold';
    if v_op = 'reserve' then
      v_reserved := private.reserve_generation(v_subjects[v_at], v_item);
      v_answers[v_at] := v_reserved.answer;
      if (v_reserved.hold).id is not null then
        v_new_holds := v_new_holds || v_reserved.hold;
        v_new_generations := v_new_generations || v_reserved.generation;
      end if;
      continue;
    end if;

    -- Another item about a hold that was just noted or closed has to find it so.
    if v_hold = any (v_changed_ids) then
      perform private.write_noted_generations(v_noted_generations);
      perform private.write_closed_generations(v_closed_generations, v_closed_holds, v_events);
      v_changed_ids := '{}';
      v_noted_generations := '{}';
      v_closed_generations := '{}';
      v_closed_holds := '{}';
      v_events := '{}';
    end if;
    select g as generation, r as hold into v_running
      from public.generations g join public.reservations r on r.id = g.id
     where g.id = v_hold;
    if not found then
      v_answers[v_at] := '{"code": "RESERVATION_NOT_FOUND"}';
    elsif v_op = 'extend' then
      v_noted := private.note_generation(v_running.generation, v_running.hold, v_item);
      v_answers[v_at] := v_noted.answer;
      if (v_noted.generation).id is not null then
        v_changed_ids := v_changed_ids || v_hold;
        v_noted_generations := v_noted_generations || v_noted.generation;
      end if;
    elsif v_op = 'settle' then
      v_settled := private.settle_generation(v_running.generation, v_running.hold, v_item, v_has_late);
      v_answers[v_at] := v_settled.answer;
      if (v_settled.hold).id is not null then
        v_changed_ids := v_changed_ids || v_hold;
        v_closed_generations := v_closed_generations || v_settled.generation;
        v_closed_holds := v_closed_holds || v_settled.hold;
      end if;
      if (v_settled.event).id is not null then
        v_events := v_events || v_settled.event;
      end if;
    else
      raise exception 'unknown metering operation %', v_op using errcode = '22023';
    end if;
  end loop;

  if cardinality(v_new_holds) > 0 then
    insert into public.reservations select h.* from unnest(v_new_holds) h;
    insert into public.generations select g.* from unnest(v_new_generations) g;
  end if;
  if cardinality(v_noted_generations) > 0 then
    perform private.write_noted_generations(v_noted_generations);
  end if;
  if cardinality(v_closed_generations) > 0 then
    perform private.write_closed_generations(v_closed_generations, v_closed_holds, v_events);
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
  v_period constant integer := (select max(p.number) from public.periods p);
  v_item record;
  v_device record;
  v_balance public.balances;
  v_refusal jsonb;
  v_request_hash bigint;
  v_first_key integer := 1;
  v_position integer;
  v_available bigint;
  v_reserved bigint;
  v_used bigint;
  v_hold public.reservations;
  v_released bigint;
  v_event_id uuid;
  v_answer jsonb;
  v_answers jsonb[] := array_fill(null::jsonb, array[jsonb_array_length(p_items)]);
  v_events public.usage_events[] := '{}';
  v_holds public.reservations[] := '{}';
  v_keys private.device_keys[] := '{}';
  v_keys_of uuid[] := '{}';
  v_items_of integer[] := '{}';
  v_changed uuid[] := '{}';
  v_changed_used bigint[] := '{}';
  v_changed_reserved bigint[] := '{}';
  v_settled uuid[] := '{}';
  v_settled_by uuid[] := '{}';
  v_refused uuid[] := '{}';
  v_refused_price bigint[] := '{}';
begin
  if p_items @? '$[*] ? (@.op == "debit" || @.reserve == true || @.reserve.type() != "boolean")' then
    perform private.lock_device_balances(p_items, v_period);
  end if;

  -- A query after the locks: it sees what those did who had them before.
  for v_item in
    select i.*, d.*
      from (
        select j.ord::integer as ord, j.op, j.device_id, j.token_version, lower(btrim(j.model)) as model, j.prompt_count,
               coalesce(j.reserve, false) as reserve, private.device_key(j.device_id, j.key) as key, j.reservation_id,
               case when j.op <> 'balance' then
                 j.prompt_count * coalesce(
                   (select c.cost from public.model_costs c where c.model = lower(btrim(j.model))),
                   (select c.cost from public.model_costs c where c.model = '*'), 1
                 )::bigint
               end as cost,
               row_number() over w = 1 as is_first, lead(j.ord) over w is null as is_last
          from rows from (
            jsonb_to_recordset(p_items) as (
              op text, device_id uuid, token_version integer, model text, prompt_count integer,
              reserve boolean, key text, reservation_id uuid
            )
          ) with ordinality as j(op, device_id, token_version, model, prompt_count, reserve, key, reservation_id, ord)
        window w as (partition by j.device_id order by j.ord)
      ) i
      -- With its limit it is one look-up by key for each device, however many items the planner reckons with.
      left join lateral (
        select s.id, s.token_version as current_version, s.user_id, s.blocked, b.allocated, b.used, b.reserved, b.remaining,
               b.period, b.period < v_period or b.reserved > 0 and exists (
                 select from public.reservations r
                  where r.subject_id = s.id and r.status = 'held' and r.expires_at <= now()
               ) as is_due
          from public.devices s join public.balances b on b.subject_id = s.id
         where i.is_first and s.id = i.device_id
         limit 1
      ) d on true
     order by i.device_id, i.ord
  loop
    if v_item.is_first then
      v_device := v_item;
      -- A period has begun, or what expired holds keep is free again: also for those who only ask.
      if v_device.is_due then
        v_balance := private.renew_device_balance(v_device.id);
        v_device.allocated := v_balance.allocated;
        v_device.used := v_balance.used;
        v_device.reserved := v_balance.reserved;
        v_device.remaining := v_balance.remaining;
        v_device.period := v_balance.period;
      end if;
      v_available := v_device.remaining;
      v_reserved := v_device.reserved;
      v_used := v_device.used;
      v_first_key := cardinality(v_keys) + 1;
      v_refusal := null;
      if v_device.blocked then
        v_refusal := '{"code": "DEVICE_BLOCKED"}';
      elsif v_device.user_id is not null then
        select '{"code": "ACCOUNT_SUSPENDED"}' into v_refusal
          from public.users u where u.id = v_device.user_id and u.suspended_at is not null;
      end if;
    end if;

    v_answer := v_refusal;
    if v_device.id is null or v_device.current_version is distinct from v_item.token_version then
      v_answer := '{"code": "INVALID_TOKEN"}';
    end if;

    -- A key seen before, in an earlier call or earlier in this one, repeats its answer.
    if v_answer is null and v_item.key is not null then
      v_request_hash := private.request_hash(
        jsonb_build_array(v_item.op, v_item.reserve, v_item.model, v_item.prompt_count, v_item.reservation_id)
      );
      v_position := array_position(v_keys_of, v_item.key, v_first_key);
      if v_position is not null then
        v_answer := case
          when v_keys[v_position].request_hash = v_request_hash then v_answers[v_items_of[v_position]]
          else '{"code": "IDEMPOTENCY_MISMATCH"}'::jsonb
        end;
      else
        v_answer := private.repeated_answer(v_device.id, v_item.key, v_request_hash);
      end if;
    end if;

    if v_answer is not null then
      null;
    elsif v_item.op = 'balance' then
      v_answer := jsonb_build_object(
        'allocated', v_device.allocated, 'used', v_used, 'reserved', v_reserved, 'remaining', v_available
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
      if v_item.key is not null then
        v_keys := v_keys || row(v_item.key, v_request_hash, now(), null, v_answer)::private.device_keys;
        v_keys_of := v_keys_of || v_item.key;
        v_items_of := v_items_of || v_item.ord;
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
        v_refused := v_refused || v_device.id;
        v_refused_price := v_refused_price || v_item.cost / v_item.prompt_count;
        v_answer := jsonb_build_object(
          'code', 'INSUFFICIENT_TOKENS', 'requested', v_item.cost, 'remaining', v_available + v_released
        );
      end if;
      if v_answer is null then
        v_event_id := case when v_item.key is null then gen_random_uuid() else private.keyed_event_id(v_item.key, now()) end;
        v_events := v_events || row(
          v_event_id, v_device.id, v_device.user_id, v_device.id, 'device', 'unknown', v_item.model, v_item.prompt_count,
          0, 0, 0, v_item.cost, 'client_reported', v_device.period, null, now(), now(), null
        )::public.usage_events;
        if v_hold.id is not null then
          v_settled := v_settled || v_hold.id;
          v_settled_by := v_settled_by || v_event_id;
        end if;
        v_available := v_available + v_released - v_item.cost;
        v_reserved := v_reserved - v_released;
        v_used := v_used + v_item.cost;
        v_answer := jsonb_build_object('event_id', v_event_id, 'tokens_used', v_item.cost, 'remaining', v_available);
        if v_item.key is not null then
          v_keys := v_keys || row(v_item.key, v_request_hash, now(), v_available, null)::private.device_keys;
          v_keys_of := v_keys_of || v_item.key;
          v_items_of := v_items_of || v_item.ord;
        end if;
      end if;
    else
      raise exception 'unknown metering operation %', v_item.op using errcode = '22023';
    end if;
    v_answers[v_item.ord] := v_answer;

    if v_item.is_last and (v_used, v_reserved) <> (v_device.used, v_device.reserved) then
      v_changed := v_changed || v_device.id;
      v_changed_used := v_changed_used || v_used;
      v_changed_reserved := v_changed_reserved || v_reserved;
    end if;
  end loop;

  if cardinality(v_changed) > 0 then
    update public.balances b set used = c.used, reserved = c.reserved, updated_at = now()
      from unnest(v_changed, v_changed_used, v_changed_reserved) as c(subject_id, used, reserved)
     where b.subject_id = c.subject_id;
  end if;
  if cardinality(v_refused) > 0 then
    -- Only now the balances are what the refused items found.
    perform private.note_refusal(r.subject_id, r.price)
      from unnest(v_refused, v_refused_price) with ordinality as r(subject_id, price, ord) order by r.ord;
  end if;
  if cardinality(v_keys) > 0 then
    insert into private.device_keys select k.* from unnest(v_keys) k;
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
               b.allocated, b.used, b.remaining, b.reserved,
               (
                 select r.bucket from public.usage_rollups r
                  where r.subject_id = d.id order by r.bucket desc limit 1
               ) as last_used_at
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
  'Returns the devices linked to the caller with their balances and the quarter hour of their last use, newest first; after (time, id) to page on.';

create or replace function public.my_plans()
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
begin
  perform public.require_current_user();
  return (
    select jsonb_agg(public.get_plan(tier) order by place)
      from unnest(array['free', 'pro', 'premium']) with ordinality as tiers (tier, place)
  );
end
$$;
grant execute on function public.my_plans() to authenticated;
comment on function public.my_plans() is
  'Returns what each tier is worth, the lowest first: [{tier, monthly_tokens, device_limit}].';

create or replace function public.operating_state()
returns jsonb
language sql stable security definer set search_path = ''
as $$
-- Definer: reads what waits and the books' last proof, which no API role may.
  select jsonb_build_object(
    'mails_waiting', m.waiting, 'mails_failing', m.failing, 'mails_oldest_seconds', m.oldest,
    'webhooks_waiting', w.waiting, 'webhooks_oldest_seconds', w.oldest,
    'webhooks_given_up', (select count(*) from private.webhook_deliveries d where d.status = 'failed'),
    'holds', (select count(*) from public.reservations r where r.status = 'held'),
    'overdue_holds', (
      select count(*) from public.reservations r where r.status = 'held' and r.expires_at < now() - interval '5 minutes'
    ),
    'estimates_waiting', (select count(*) from public.generations g where g.reconcile_at is not null),
    'ledger_checked_at', l.at, 'ledger_check_seconds', l.seconds, 'ledger_discrepancies', l.discrepancies,
    'pools', (
      select jsonb_object_agg(b.subject_kind, jsonb_build_object('allocated', b.allocated, 'total', b.total))
        from public.budgets b
    )
  )
    from (
      select count(*) as waiting, count(*) filter (where m.attempts > 1) as failing,
             coalesce(extract(epoch from now() - min(m.queued_at)), 0)::integer as oldest
        from private.mails m where m.recipient is not null and m.expires_at > now()
    ) m
    cross join (
      -- What a disabled endpoint has yet to get waits for whoever tests it.
      select count(*) as waiting, coalesce(extract(epoch from now() - min(d.occurred_at)), 0)::integer as oldest
        from private.webhook_deliveries d join private.webhook_endpoints e on e.id = d.endpoint_id
       where d.status = 'pending' and e.disabled_at is null
    ) w
    left join (
      select extract(epoch from c.checked_at)::bigint as at, c.milliseconds / 1000.0 as seconds, c.discrepancies
        from private.ledger_checks c order by c.id desc limit 1
    ) l on true
$$;
grant execute on function public.operating_state() to service_role;
comment on function public.operating_state() is
  'Returns what whoever watches the server wants to know of the database: what waits in its queues, its holds, its pools, and the last proof of the books.';

-- The usage queries run with their caller's rights: for a person row-level security decides, and for an admin list_all_usage
-- and summarize_all_usage ask for everybody.
create or replace function public.own_subjects()
returns uuid[]
language plpgsql stable set search_path = '' set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_user_id constant uuid := public.require_current_user('usage:read');
begin
  return v_user_id || array(select d.id from public.devices d where d.user_id = v_user_id);
end
$$;
grant execute on function public.own_subjects() to authenticated;
comment on function public.own_subjects() is
  'Returns the caller and their devices: whose rows to look for. Row-level security still decides which of them are seen.';

create or replace function public.preview_budget(p_actor jsonb, p_kind text, p_total bigint default null)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: reads every balance, which no API role may.
declare
  v_before jsonb;
  v_allocated bigint;
begin
  perform private.require_admin(p_actor, 'viewer');
  v_before := private.budget_json(p_kind);
  v_allocated := (v_before ->> 'allocated')::bigint;
  return jsonb_build_object(
    'before', v_before,
    'after', v_before || jsonb_build_object('total', p_total, 'unallocated', greatest(p_total - v_allocated, 0)),
    'over_allocated', coalesce(greatest(v_allocated - p_total, 0), 0)
  );
end
$$;
grant execute on function public.preview_budget(jsonb, text, bigint) to service_role;
comment on function public.preview_budget(jsonb, text, bigint) is
  'Returns what set_budget would change: {before, after, over_allocated}; no allocation is taken back by it.';

create or replace function public.preview_reset(p_actor jsonb, p_default_tokens bigint)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: reads every balance, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  return (
    select jsonb_build_object(
             'period', p.number, 'started_at', p.started_at, 'default_tokens', p_default_tokens,
             'already_reset', exists (
               select from public.periods c where date_trunc('month', c.closed_at, 'UTC') = date_trunc('month', now(), 'UTC')
             ),
             'pool_total', pool.total,
             'fits', coalesce(d.devices * p_default_tokens <= pool.total, true),
             'allocated_before', pool.allocated, 'allocated_after', d.devices * p_default_tokens,
             'devices', d.devices, 'raised', d.raised, 'lowered', d.lowered, 'used', d.used, 'unused', d.unused,
             'reserved', d.reserved
           )
      from (select n.* from public.periods n order by n.number desc limit 1) p
     cross join public.budgets pool
     cross join (
       select count(*) as devices,
              count(*) filter (where b.allocated < p_default_tokens) as raised,
              count(*) filter (where b.allocated > p_default_tokens) as lowered,
              coalesce(sum(b.used), 0)::bigint as used, coalesce(sum(b.remaining), 0)::bigint as unused,
              coalesce(sum(b.reserved), 0)::bigint as reserved
         from public.devices v join public.balances b on b.subject_id = v.id
        where v.deleted_at is null
     ) d
     where pool.subject_kind = 'device'
  );
end
$$;
grant execute on function public.preview_reset(jsonb, bigint) to service_role;
comment on function public.preview_reset(jsonb, bigint) is
  'Returns what reset_monthly would change: {period, started_at, default_tokens, already_reset, pool_total, fits, allocated_before, allocated_after, devices, raised, lowered, used, unused, reserved}.';

-- Any number of servers may write the same mail: the first one takes the row, and its mail is queued in the same step.
create or replace function public.queue_alert_mail(p_id uuid, p_mail text)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes private.alert_mails and private.mails, which no API role may.
declare
  v_mail private.alert_mails;
begin
  delete from private.alert_mails m where m.id = p_id returning * into v_mail;
  if not found then
    return jsonb_build_object('queued', false);
  end if;
  perform private.queue_notice(
    v_mail.user_id,
    coalesce(v_mail.recipient, (select u.email from public.users u where u.id = v_mail.user_id and u.email_verified_at is not null)),
    p_mail
  );
  return jsonb_build_object('queued', true);
end
$$;
grant execute on function public.queue_alert_mail(uuid, text) to service_role;
comment on function public.queue_alert_mail(uuid, text) is
  'Queues the sealed mail (base64) about an alert. Returns {queued}: false where another server did. At most 20 notices an hour go to one address.';

create or replace function public.redeliver_webhook(p_actor jsonb, p_id uuid, p_delivery_id bigint)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes deliveries, which no API role may.
declare
  v_delivery private.webhook_deliveries;
begin
  perform private.require_admin(p_actor);
  -- What is on its way already is only hurried, unless a server has it in its hands.
  update private.webhook_deliveries d
     set status = 'pending', attempts = case when d.status = 'pending' then d.attempts else 0 end,
         due_at = case when d.status = 'pending' and d.failure is null then d.due_at else now() end
   where d.id = p_delivery_id and d.endpoint_id = p_id
  returning * into v_delivery;
  if not found then
    raise sqlstate 'PT404' using message = 'WEBHOOK_DELIVERY_NOT_FOUND';
  end if;
  perform private.audit_admin(p_actor, 'redeliver_webhook', 'webhook:' || p_id);
  return private.webhook_delivery_json(v_delivery);
end
$$;
grant execute on function public.redeliver_webhook(jsonb, uuid, bigint) to service_role;
comment on function public.redeliver_webhook(jsonb, uuid, bigint) is
  'Sends an event again that was given up, or delivered, under the same id. Returns the delivery; raises WEBHOOK_DELIVERY_NOT_FOUND.';

create or replace function public.release_device(p_device uuid, p_why text default null)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_before jsonb := private.lock_device(private.require_hand_device(p_device));
begin
  update public.devices set user_id = null where id = p_device and user_id is not null;
  if found then
    perform private.audit_by(
      private.by_hand(p_why), 'release_device', 'device:' || p_device, v_before, private.device_json(p_device)
    );
  end if;
  return private.device_json(p_device);
end
$$;
comment on function public.release_device(uuid, text) is
  'For the SQL editor: takes a device off the account it is linked to and ends its tokens, as its owner could, with an audit line. It keeps its balance. Returns the device.';

create or replace function public.remove_device(p_device uuid, p_why text)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
begin
  return private.drop_device(private.require_reason(p_why), private.require_hand_device(p_device));
end
$$;
comment on function public.remove_device(uuid, text) is
  'For the SQL editor: removes a device; its tokens die, what it did not use returns to the pool, its usage stays. Returns {device_id, returned}.';

create or replace function public.remove_person(p_person uuid, p_why text)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_detail text;
begin
  return private.drop_account(private.require_reason(p_why), private.require_hand_person(p_person));
exception
  when sqlstate 'PT400' or sqlstate 'PT403' or sqlstate 'PT404' or sqlstate 'PT409' or sqlstate 'PT422' then
    get stacked diagnostics v_detail = pg_exception_detail;
    raise exception using message = private.explain_refusal(sqlerrm, v_detail), errcode = sqlstate;
end
$$;
comment on function public.remove_person(uuid, text) is
  'For the SQL editor: removes an account as its owner could. Returns {deleted}; refuses while Stripe knows the person.';

create or replace function public.rename_device(p_device uuid, p_name text)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
begin
  if coalesce(length(btrim(p_name)), 0) not between 1 and 200 then
    raise exception 'A device''s name has 1 to 200 characters' using errcode = '22023';
  end if;
  return private.change_device(private.by_hand(), private.require_hand_device(p_device), p_name => btrim(p_name));
end
$$;
comment on function public.rename_device(uuid, text) is
  'For the SQL editor: renames a device, with an audit line. Returns the device.';

create or replace function public.rename_my_device(p_caller jsonb, p_device_id uuid, p_name text)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes devices, which no API role may.
declare
  v_user_id uuid := private.require_user(p_caller);
begin
  update public.devices set name = p_name
   where id = p_device_id and user_id = v_user_id and deleted_at is null;
  if not found then
    raise sqlstate 'PT404' using message = 'DEVICE_NOT_FOUND';
  end if;
  return jsonb_build_object('device_id', p_device_id, 'name', p_name);
end
$$;
grant execute on function public.rename_my_device(jsonb, uuid, text) to service_role;
comment on function public.rename_my_device(jsonb, uuid, text) is
  'Renames a device of the caller''s. Returns {device_id, name}; raises DEVICE_NOT_FOUND.';

-- Some at a time, so that debits of all others go on.
create or replace function public.renew_alerts(p_limit integer default 1000)
returns integer
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes balances and the settings, which no API role may.
declare
  v_after uuid;
  v_subjects uuid[];
begin
  select s.renewing_after into v_after from private.alert_settings s where s.renewing_after is not null for update;
  if not found then
    return 0;
  end if;
  select array_agg(b.subject_id order by b.subject_id) into v_subjects
    from (
      select b.subject_id from public.balances b where b.subject_id > v_after order by b.subject_id limit p_limit for update
    ) b;
  update public.balances b set alert_at = 0 where b.subject_id = any (v_subjects) and b.alert_at > 0;
  update private.alert_settings s
     set renewing_after = case when cardinality(v_subjects) = p_limit then v_subjects[p_limit] end
   where s.id;
  return coalesce(cardinality(v_subjects), 0);
end
$$;
grant execute on function public.renew_alerts(integer) to service_role;
comment on function public.renew_alerts(integer) is
  'After a change of thresholds, has that many more balances look at them with their next debit; returns how many, 0 when all do.';

create or replace function public.reset_monthly(p_actor jsonb, p_default_tokens bigint, p_force boolean default false)
returns jsonb
language plpgsql volatile security definer set search_path = '' set statement_timeout = '15min'
as $$
-- Definer: writes balances, periods and the ledger, which no API role may.
begin
  return private.reset_devices(private.require_admin_by(p_actor), p_default_tokens, p_force);
end
$$;
grant execute on function public.reset_monthly(jsonb, bigint, boolean) to service_role;
comment on function public.reset_monthly(jsonb, bigint, boolean) is
  'Ends the budget period and gives every device the default. Returns {period, devices, default_tokens}; raises ALREADY_RESET for a second time in a month without force, BUDGET_EXCEEDED.';

create or replace function public.resume_person(p_person uuid, p_why text default null)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
begin
  perform private.require_hand_person(p_person);
  if exists (select from public.users u where u.id = p_person and (u.suspended_at is not null) = false) then
    return private.account_json(p_person);
  end if;
  return private.set_suspension(private.by_hand(p_why), p_person, false);
end
$$;
comment on function public.resume_person(uuid, text) is
  'For the SQL editor: lets a suspended person go on, with an audit line. Does nothing where that is so already. Returns the account.';

create or replace function public.retry_stripe_sync(p_minutes integer)
returns boolean
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes what no API role may.
begin
  update private.stripe_syncs set started_at = now() - make_interval(mins => p_minutes) where started_at is not null;
  return found;
end
$$;
grant execute on function public.retry_stripe_sync(integer) to service_role;
comment on function public.retry_stripe_sync(integer) is
  'Counts a comparison that failed as begun so many minutes ago, so that the next one is due sooner.';

create or replace function public.rotate_device(p_device uuid, p_why text default null)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
begin
  return private.change_device(private.by_hand(p_why), private.require_hand_device(p_device), p_rotate => true);
end
$$;
comment on function public.rotate_device(uuid, text) is
  'For the SQL editor: ends the tokens of a device, which has to register again, with an audit line. Returns the device.';

create or replace function public.set_account_plan(p_actor jsonb, p_user_id uuid, p_tier text)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes subscriptions, which no API role may.
begin
  return private.give_tier(private.require_admin_by(p_actor), p_user_id, p_tier);
end
$$;
grant execute on function public.set_account_plan(jsonb, uuid, text) to service_role;
comment on function public.set_account_plan(jsonb, uuid, text) is
  'Gives an account a tier without payment, or takes it back with free. Returns the account; raises USER_NOT_FOUND, and SUBSCRIPTION_RUNNING for one that subscribed at Stripe.';

create or replace function public.set_alert_settings(p_actor jsonb, p_settings jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes the settings, which no API role may.
declare
  v_before jsonb;
  v_after jsonb;
begin
  perform private.require_admin(p_actor);
  perform from private.alert_settings s for update;
  v_before := private.alert_settings_json();
  v_after := v_before || p_settings;
  update private.alert_settings s
     set device_thresholds = array(select t::smallint from jsonb_array_elements_text(v_after -> 'device_thresholds') t group by t::smallint order by t::smallint),
         user_thresholds = array(select t::smallint from jsonb_array_elements_text(v_after -> 'user_thresholds') t group by t::smallint order by t::smallint),
         pool_thresholds = array(select t::smallint from jsonb_array_elements_text(v_after -> 'pool_thresholds') t group by t::smallint order by t::smallint),
         mail_people = (v_after ->> 'mail_people')::boolean,
         mail_to = array(select a from jsonb_array_elements_text(v_after -> 'mail_to') a group by a order by a),
         updated_at = now()
   where s.id;
  -- Those whose thresholds changed look at them with their next debit.
  if v_before -> 'device_thresholds' <> v_after -> 'device_thresholds'
    or v_before -> 'user_thresholds' <> v_after -> 'user_thresholds' then
    update private.alert_settings s set renewing_after = '00000000-0000-0000-0000-000000000000' where s.id;
    perform public.renew_alerts();
  end if;
  -- The audit log can never be cleaned, so it does not name addresses.
  v_after := private.alert_settings_json();
  perform private.audit_admin(p_actor, 'set_alerts', 'alerts', v_before - 'mail_to' - 'updated_at', v_after - 'mail_to' - 'updated_at');
  return v_after;
end
$$;
grant execute on function public.set_alert_settings(jsonb, jsonb) to service_role;
comment on function public.set_alert_settings(jsonb, jsonb) is
  'Changes those of {device_thresholds, user_thresholds, pool_thresholds, mail_people, mail_to} that are given; returns all.';

create or replace function public.set_budget(p_actor jsonb, p_kind text, p_total bigint default null)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes the pools, which no API role may.
begin
  return private.resize_pool(private.require_admin_by(p_actor), p_kind, p_total);
end
$$;
grant execute on function public.set_budget(jsonb, text, bigint) to service_role;
comment on function public.set_budget(jsonb, text, bigint) is
  'Sets the size of a pool, null for unlimited. One smaller than what is allocated only stops further allocations.';

create or replace function public.set_plan(
  p_actor jsonb, p_tier text, p_monthly_tokens bigint, p_device_limit integer default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: no API role may write plans.
declare
  v_before public.plans;
  v_after public.plans;
begin
  perform private.require_admin(p_actor);
  select p.* into strict v_before from public.plans p where p.tier = p_tier for update;
  update public.plans p
     set monthly_tokens = p_monthly_tokens, device_limit = p_device_limit, updated_at = now()
   where p.tier = p_tier
  returning p.* into v_after;
  perform private.audit_admin(p_actor, 'set_plan_worth', 'plan:' || p_tier, to_jsonb(v_before), to_jsonb(v_after));
  return public.list_plans(p_actor);
end
$$;
grant execute on function public.set_plan(jsonb, text, bigint, integer) to service_role;
comment on function public.set_plan(jsonb, text, bigint, integer) is
  'Sets what a tier is worth from its next payment on, and how many devices it may link, null for any number. Returns all plans.';

create or replace function public.set_pool(p_kind text, p_total bigint, p_why text)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
begin
  if p_kind is null or p_kind not in ('device', 'user') then
    raise exception 'There are two pools, device and user' using errcode = '22023';
  end if;
  if p_total not between 0 and 9007199254740991 then
    raise exception 'A pool has 0 to 9007199254740991 tokens, or null for any number' using errcode = '22023';
  end if;
  return private.resize_pool(private.require_reason(p_why), p_kind, p_total);
end
$$;
comment on function public.set_pool(text, bigint, text) is
  'For the SQL editor: sets the size of the pool of device or user, null for unlimited, with an audit line that says why. One smaller than what is allocated only stops further allocations. Returns the pool.';

-- An outcome counts only for the attempt that is the latest: another server may have taken the delivery over meanwhile.
create or replace function public.settle_webhook_delivery(
  p_id bigint, p_attempt integer, p_outcome text, p_status integer default null, p_failure text default null,
  p_wait_seconds integer default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes deliveries and endpoints, which no API role may.
declare
  -- 5 s, 30 s, 5 min, 30 min, 2 h, 5 h, 10 h, 10 h: given up after 28 hours.
  v_waits constant integer[] := '{5, 30, 300, 1800, 7200, 18000, 36000, 36000}';
  v_endpoint_id uuid;
  v_wait integer;
begin
  if p_outcome = 'released' then
    update private.webhook_deliveries d set due_at = now(), attempts = d.attempts - 1
     where d.id = p_id and d.attempts = p_attempt and d.status = 'pending';
    return jsonb_build_object('settled', found);
  end if;
  v_wait := v_waits[p_attempt];
  update private.webhook_deliveries d
     set status = case
           when p_outcome = 'delivered' then 'delivered'
           when p_outcome = 'gone' or v_wait is null then 'failed'
           else 'pending'
         end,
         due_at = now() + greatest(v_wait * (0.9 + random() / 5), least(coalesce(p_wait_seconds, 0), 3600)) * interval '1 second',
         response_status = p_status, failure = left(p_failure, 100)
   where d.id = p_id and d.attempts = p_attempt and d.status = 'pending'
  returning d.endpoint_id into v_endpoint_id;
  if p_outcome = 'gone' then
    update private.webhook_endpoints e set disabled_at = now() where e.id = v_endpoint_id;
  end if;
  return jsonb_build_object('settled', v_endpoint_id is not null);
end
$$;
grant execute on function public.settle_webhook_delivery(bigint, integer, text, integer, text, integer) to service_role;
comment on function public.settle_webhook_delivery(bigint, integer, text, integer, text, integer) is
  'Ends an attempt: delivered, failed (tried again later and later, nine times in all), gone (the endpoint is disabled) or released (due at once). Returns {settled}: whether the attempt was still the latest.';

create or replace function public.start_period(p_default_tokens bigint, p_again boolean default false)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_detail text;
begin
  if p_default_tokens is null or p_default_tokens not between 0 and 1000000000 then
    raise exception 'A device gets 0 to 1000000000 tokens' using errcode = '22023';
  end if;
  return private.reset_devices(private.by_hand(), p_default_tokens, p_again);
exception
  when sqlstate 'PT400' or sqlstate 'PT403' or sqlstate 'PT404' or sqlstate 'PT409' or sqlstate 'PT422' then
    get stacked diagnostics v_detail = pg_exception_detail;
    raise exception using message = private.explain_refusal(sqlerrm, v_detail), errcode = sqlstate;
end
$$;
comment on function public.start_period(bigint, boolean) is
  'For the SQL editor: ends the budget period of the devices and gives each of them so many tokens. A second time in a month needs p_again. Returns {period, devices, default_tokens}.';

create or replace function public.summarize_all_usage(
  p_actor jsonb, p_from text, p_to text, p_time_zone text, p_group_by text[], p_user_id uuid default null,
  p_filter jsonb default '{}'
)
returns json
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: an admin may ask about everybody, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  return public.summarize_usage(p_from, p_to, p_time_zone, p_group_by, private.account_subjects(p_user_id), p_filter);
end
$$;
grant execute on function public.summarize_all_usage(jsonb, text, text, text, text[], uuid, jsonb) to service_role;
comment on function public.summarize_all_usage(jsonb, text, text, text, text[], uuid, jsonb) is
  'Runs summarize_usage for an admin: of everybody, or of one account with its devices.';

-- In json, not jsonb: it is written once, as text, and read by nobody here.
create or replace function public.summarize_usage(
  p_from text, p_to text, p_time_zone text, p_group_by text[], p_subjects uuid[] default public.own_subjects(),
  p_filter jsonb default '{}'
)
returns json
language plpgsql stable set search_path = '' set timezone = 'UTC'
  -- The planner takes every quarter hour for a group of its own, and would sort them all on disk, to group and to join them.
  set work_mem = '32MB' set enable_mergejoin = off set jit = off set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_range record;
  v_unit constant text := case
    when 'day' = any (p_group_by) then 'day' when 'week' = any (p_group_by) then 'week'
    when 'month' = any (p_group_by) then 'month'
  end;
  v_provider constant boolean := 'provider' = any (p_group_by);
  v_model constant boolean := 'model' = any (p_group_by);
  v_source constant boolean := 'source' = any (p_group_by);
  v_device constant boolean := 'device' = any (p_group_by);
  v_user constant boolean := 'user' = any (p_group_by);
  v_is_named constant boolean := v_provider or v_model or v_source or v_device or v_user;
  v_nobody constant uuid := '00000000-0000-0000-0000-000000000000';
  v_periods date[];
  v_starts timestamptz[];
  -- How many groups make 10,000 rows.
  v_groups integer;
  v_subjects uuid[] := case when p_filter ? 'device' then array[(p_filter ->> 'device')::uuid] else p_subjects end;
  v_totals text;
  v_series text;
begin
  if p_filter ? 'device' and (p_filter ->> 'device')::uuid = any (p_subjects) is false then
    v_subjects := '{}';
  end if;
  v_range := public.usage_range(p_from, p_to, p_time_zone);
  if v_unit is not null then
    select array_agg(p.day::date order by p.day), array_agg(
             -- As day_start does, without calling it for each of so many days.
             case
               when (m.start - interval '2 hours') at time zone p_time_zone = p.day - interval '2 hours' then m.start
               else public.day_start(p.day::date, p_time_zone)
             end order by p.day
           )
      into v_periods, v_starts
      from generate_series(
        date_trunc(v_unit, v_range.range_from at time zone p_time_zone),
        (v_range.range_to - interval '1 microsecond') at time zone p_time_zone,
        ('1 ' || v_unit)::interval
      ) as p(day)
     cross join lateral (select p.day at time zone p_time_zone as start) m;
  end if;
  v_groups := 10000 / coalesce(cardinality(v_periods), 1);

  with named as materialized (
    select n.*
      from public.usage_sums(
        v_subjects, array(select g from unnest(p_group_by) g where g is distinct from v_unit), v_starts,
        v_range.range_from, v_range.range_to, p_filter
      ) n
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
    select n.period, case when r.groups <= v_groups then r.rank else least(r.rank, v_groups) end as rank,
           sum(n.events) as events, sum(n.prompts) as prompts, sum(n.input_tokens) as input_tokens,
           sum(n.output_tokens) as output_tokens, sum(n.total_tokens) as total_tokens, sum(n.cost) as cost,
           sum(n.nano_usd) as nano_usd
      from named n
      join ranked r
        on coalesce(r.provider, '') = coalesce(n.provider, '') and coalesce(r.model, '') = coalesce(n.model, '')
       and coalesce(r.source, '') = coalesce(n.source, '') and coalesce(r.device, v_nobody) = coalesce(n.device, v_nobody)
       and coalesce(r."user", v_nobody) = coalesce(n."user", v_nobody)
     group by 1, 2
  ),
  groups as (
    select r.rank, f.is_rest,
           row_number() over (
             order by f.is_rest, r.provider nulls first, r.model nulls first, r.source nulls first, r.device nulls first,
                      r."user" nulls first
           ) as position,
           concat_ws(
             ',',
             case when v_provider then '"provider":' || to_json(case when f.is_rest then 'other' else r.provider end) end,
             case when v_model then '"model":' || to_json(case when f.is_rest then 'other' else r.model end) end,
             case when v_source then '"source":' || to_json(case when f.is_rest then 'other' else r.source end) end,
             case when v_device then '"device":' || coalesce(to_json(case when not f.is_rest then r.device end), 'null') end,
             case when v_user then '"user":' || coalesce(to_json(case when not f.is_rest then r."user" end), 'null') end,
             case when f.is_rest then '"other":true' end
           ) as names
      from ranked r cross join lateral (select r.groups > v_groups and r.rank = v_groups as is_rest) f
     where r.rank <= v_groups
    union all
    -- Without names to group by, days without use are days, too.
    select 1, false, 1, '' where not v_is_named and not exists (select from ranked)
  ),
  periods as (
    select coalesce(p.period, 0) as period, case when v_unit is not null then format('"%s":"%s"', v_unit, p.day) end as name
      from (select 1) one left join unnest(v_periods) with ordinality as p(day, period) on true
  ),
  -- Each piece of text is made once, however many rows it is in.
  written as (
    select c.period, c.rank,
           format(
             '"events":%s,"prompts":%s,"input_tokens":%s,"output_tokens":%s,"total_tokens":%s,"cost":%s,"nano_usd":%s',
             c.events, c.prompts, c.input_tokens, c.output_tokens, c.total_tokens, c.cost, c.nano_usd
           ) as sums
      from cells c
  ),
  totals as (
    select json_build_object(
      'events', coalesce(sum(c.events), 0), 'prompts', coalesce(sum(c.prompts), 0),
      'input_tokens', coalesce(sum(c.input_tokens), 0), 'output_tokens', coalesce(sum(c.output_tokens), 0),
      'total_tokens', coalesce(sum(c.total_tokens), 0), 'cost', coalesce(sum(c.cost), 0),
      'nano_usd', coalesce(sum(c.nano_usd), 0)
    ) as item from cells c
  ),
  series as (
    select string_agg(
             '{' || concat_ws(
               ',', p.name, nullif(g.names, ''),
               coalesce(
                 w.sums,
                 '"events":0,"prompts":0,"input_tokens":0,"output_tokens":0,"total_tokens":0,"cost":0,"nano_usd":0'
               )
             ) || '}',
             ',' order by p.period, g.position
           ) as items
      from periods p
     cross join groups g
      left join written w on w.period = p.period and w.rank = g.rank
     where v_unit is not null or v_is_named
  )
  select t.item, s.items into v_totals, v_series from totals t cross join series s;
  return format(
    '{"totals":%s,"series":[%s],"from":%s,"to":%s,"time_zone":%s}',
    v_totals, v_series, to_json(v_range.range_from), to_json(v_range.range_to), to_json(p_time_zone)
  );
end
$$;
grant execute on function public.summarize_usage(text, text, text, text[], uuid[], jsonb) to authenticated;
comment on function public.summarize_usage(text, text, text, text[], uuid[], jsonb) is
  'Returns usage of the caller and their devices in a range, from the rollups: {from, to, time_zone, totals, series}, grouped by any of day, week, month (one of them), provider, model, source, device, user, and filtered by any of provider, model, source, device; periods without use are there with zeros. Of more than 10,000 rows the groups used least are one, marked by other. Raises RANGE_NOT_VALID.';

create or replace function public.suspend_account(p_actor jsonb, p_user_id uuid, p_suspended boolean)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes accounts, which no API role may.
begin
  return private.set_suspension(private.require_admin_by(p_actor), p_user_id, p_suspended);
end
$$;
grant execute on function public.suspend_account(jsonb, uuid, boolean) to service_role;
comment on function public.suspend_account(jsonb, uuid, boolean) is
  'Keeps an account, its keys and its devices from everything, from the very next request on, or lets them go on. Returns the account; raises USER_NOT_FOUND.';

create or replace function public.suspend_person(p_person uuid, p_why text default null)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
begin
  perform private.require_hand_person(p_person);
  if exists (select from public.users u where u.id = p_person and (u.suspended_at is not null) = true) then
    return private.account_json(p_person);
  end if;
  return private.set_suspension(private.by_hand(p_why), p_person, true);
end
$$;
comment on function public.suspend_person(uuid, text) is
  'For the SQL editor: keeps a person, their keys and devices from everything, from the very next request on, with an audit line. Does nothing where that is so already. Returns the account.';

create or replace function public.take_back_tokens(p_subject uuid, p_tokens bigint, p_why text, p_key text default null)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_detail text;
begin
  return private.allocate_tokens(
    private.require_reason(p_why), private.require_kind(p_subject), p_subject, -private.require_count(p_tokens), null, p_key
  );
exception
  when sqlstate 'PT400' or sqlstate 'PT403' or sqlstate 'PT404' or sqlstate 'PT409' or sqlstate 'PT422' then
    get stacked diagnostics v_detail = pg_exception_detail;
    raise exception using message = private.explain_refusal(sqlerrm, v_detail), errcode = sqlstate;
end
$$;
comment on function public.take_back_tokens(uuid, bigint, text, text) is
  'For the SQL editor: takes tokens that are neither used nor held back into the pool, with a ledger entry and an audit line that says why. The same p_key again does nothing more. Returns the balance.';

create or replace function public.test_webhook(p_actor jsonb, p_id uuid)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes deliveries, which no API role may.
declare
  v_delivery private.webhook_deliveries;
begin
  perform private.require_admin(p_actor);
  -- One that answered 410 is tried again, and gets events again.
  update private.webhook_endpoints e set disabled_at = null where e.id = p_id;
  if not found then
    raise sqlstate 'PT404' using message = 'WEBHOOK_NOT_FOUND';
  end if;
  insert into private.webhook_deliveries (event_id, endpoint_id, type, data)
  values (gen_random_uuid(), p_id, 'webhook.test', jsonb_build_object('webhook_id', p_id))
  returning * into v_delivery;
  perform private.audit_admin(p_actor, 'test_webhook', 'webhook:' || p_id);
  return private.webhook_delivery_json(v_delivery);
end
$$;
grant execute on function public.test_webhook(jsonb, uuid) to service_role;
comment on function public.test_webhook(jsonb, uuid) is
  'Sends an event webhook.test to one endpoint, which is enabled again where it was disabled. Returns the delivery; raises WEBHOOK_NOT_FOUND.';

create or replace function public.transfer_tokens(p_from uuid, p_to uuid, p_tokens bigint, p_why text, p_key text default null)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_detail text;
begin
  if private.require_kind(p_from) <> private.require_kind(p_to) then
    raise exception 'A device''s tokens are prompts and a person''s are tokens of language models: neither becomes the other'
      using errcode = '22023';
  end if;
  return private.allocate_tokens(
    private.require_reason(p_why), private.require_kind(p_to), p_to, private.require_count(p_tokens), p_from, p_key
  );
exception
  when sqlstate 'PT400' or sqlstate 'PT403' or sqlstate 'PT404' or sqlstate 'PT409' or sqlstate 'PT422' then
    get stacked diagnostics v_detail = pg_exception_detail;
    raise exception using message = private.explain_refusal(sqlerrm, v_detail), errcode = sqlstate;
end
$$;
comment on function public.transfer_tokens(uuid, uuid, bigint, text, text) is
  'For the SQL editor: moves tokens between two devices or two persons, with two ledger entries and an audit line that says why. The same p_key again does nothing more. Returns the balance of the second, with from for the first.';

create or replace function public.unblock_device(p_device uuid, p_why text default null)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
begin
  perform private.require_hand_device(p_device);
  if exists (select from public.devices d where d.id = p_device and d.blocked = false) then
    return private.device_json(p_device);
  end if;
  return private.change_device(private.by_hand(p_why), p_device, p_blocked => false);
end
$$;
comment on function public.unblock_device(uuid, text) is
  'For the SQL editor: lets a blocked device go on, with an audit line. Does nothing where that is so already. Returns the device.';

-- The books are append-only: what was given is taken back by an entry of its own, once.
create or replace function public.undo_entry(p_actor jsonb, p_entry_id uuid)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes balances, pools and the ledger, which no API role may.
declare
  v_actor text := private.require_admin(p_actor);
  v_entry public.ledger_entries;
  v_kind text;
  v_reference text;
  v_subjects uuid[];
  v_to uuid;
  v_from uuid;
  v_before jsonb;
  v_entries jsonb;
begin
  select e.* into v_entry from public.ledger_entries e where e.id = p_entry_id;
  if not found then
    raise sqlstate 'PT404' using message = 'ENTRY_NOT_FOUND';
  end if;
  select b.subject_kind into strict v_kind from public.balances b where b.subject_id = v_entry.subject_id;
  v_reference := private.undo_reference(v_entry);
  v_subjects := case
    when v_entry.kind = 'transfer' then array(
      select e.subject_id from public.ledger_entries e where e.kind = 'transfer' and e.reference = v_entry.reference
    )
    else array[v_entry.subject_id]
  end;
  perform from public.budgets where subject_kind = v_kind for update;
  perform from public.balances b where b.subject_id = any (v_subjects) order by b.subject_id for update;
  if exists (
    select from public.ledger_entries e
     where e.reference = v_reference and e.reference like 'undo %' and e.subject_id = v_entry.subject_id
  ) then
    raise sqlstate 'PT409' using message = 'ALREADY_UNDONE';
  end if;
  perform private.require_subject(v_kind, s) from unnest(v_subjects) as s;
  perform private.enter_period(v_subjects);
  perform private.expire_reservations(v_subjects);
  if exists (
    select from public.balances b where b.subject_id = any (v_subjects) and not private.is_undoable(v_entry, b.period)
  ) then
    raise sqlstate 'PT409' using message = 'NOT_UNDOABLE';
  end if;

  -- A transfer goes back to where it came from.
  if v_entry.kind = 'transfer' then
    select e.subject_id into strict v_to from public.ledger_entries e
     where e.kind = 'transfer' and e.reference = v_entry.reference and e.amount < 0;
    select e.subject_id into strict v_from from public.ledger_entries e
     where e.kind = 'transfer' and e.reference = v_entry.reference and e.amount > 0;
  else
    v_to := v_entry.subject_id;
  end if;
  v_before := jsonb_build_object('to', private.balance_json(v_to), 'from', private.balance_json(v_from));
  v_entries := private.move_tokens(
    v_kind, v_to, case when v_from is null then -v_entry.amount else abs(v_entry.amount) end, v_from, v_actor, v_reference
  );
  perform private.audit_admin(
    p_actor, 'undo', v_kind || ':' || v_to, v_before || jsonb_build_object('entry', p_entry_id),
    jsonb_build_object('to', private.balance_json(v_to), 'from', private.balance_json(v_from))
  );
  return private.moved_json(v_to, v_from, v_before, v_entries);
end
$$;
grant execute on function public.undo_entry(jsonb, uuid) to service_role;
comment on function public.undo_entry(jsonb, uuid) is
  'Undoes a grant, a claw back or a transfer by a counter-entry, once. Returns what allocate does; raises ENTRY_NOT_FOUND, ALREADY_UNDONE, NOT_UNDOABLE (not an admin''s, or of a period that is over), INSUFFICIENT_TOKENS where it is spent, BUDGET_EXCEEDED.';

create or replace function public.update_device(
  p_actor jsonb, p_device_id uuid, p_blocked boolean default null, p_name text default null, p_rotate boolean default false
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes devices, which no API role may.
begin
  return private.change_device(private.require_admin_by(p_actor), p_device_id, p_blocked, p_name, p_rotate);
end
$$;
grant execute on function public.update_device(jsonb, uuid, boolean, text, boolean) to service_role;
comment on function public.update_device(jsonb, uuid, boolean, text, boolean) is
  'Blocks or unblocks, renames, or rotates the tokens of a device. Returns the device; raises DEVICE_NOT_FOUND.';

create or replace function public.usage_sums(
  p_subjects uuid[], p_names text[], p_starts timestamptz[], p_from timestamptz, p_to timestamptz, p_filter jsonb default '{}'
)
returns table (
  period integer, provider text, model text, source text, device uuid, "user" uuid, events numeric, prompts numeric,
  input_tokens numeric, output_tokens numeric, total_tokens numeric, cost numeric, nano_usd numeric
)
language plpgsql stable set search_path = '' set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_provider constant boolean := 'provider' = any (p_names);
  v_model constant boolean := 'model' = any (p_names);
  v_source constant boolean := 'source' = any (p_names);
  v_device constant boolean := 'device' = any (p_names);
  v_user constant boolean := 'user' = any (p_names);
  -- Everybody's sums have no row-level security, and nobody but an admin's function may read them.
  v_summed constant boolean := not v_device and not v_user and has_table_privilege('public.usage_totals', 'select');
  v_only_provider constant text := p_filter ->> 'provider';
  v_only_model constant text := lower(btrim(p_filter ->> 'model'));
  v_only_source constant text := p_filter ->> 'source';
  -- Totals have no names.
  v_is_total constant boolean := p_names = '{}' and coalesce(v_only_provider, v_only_model, v_only_source) is null;
  v_days date[];
  v_rest tstzmultirange;
begin
  if p_subjects is not null then
    -- Few rows: one statement for whatever is asked, as planning one for each question takes longer than answering it.
    return query
      select s.period, s.provider, s.model, s.source, case when v_device then d.id end,
             case when v_user then coalesce(d.user_id, case when d.id is null then s.subject_id end) end,
             s.events, s.prompts, s.input_tokens, s.output_tokens, s.total_tokens, s.cost, s.nano_usd
        from (
          select coalesce(width_bucket(r.bucket, p_starts), 0) as period, case when v_provider then r.provider end as provider,
                 case when v_model then r.model end as model, case when v_source then r.source end as source,
                 case when v_device or v_user then r.subject_id end as subject_id,
                 sum(r.events) as events, sum(r.prompts) as prompts, sum(r.input_tokens) as input_tokens,
                 sum(r.output_tokens) as output_tokens, sum(r.total_tokens) as total_tokens, sum(r.cost) as cost,
                 sum(r.nano_usd) as nano_usd
            from public.usage_rollups r
           where r.subject_id = any (p_subjects) and r.bucket >= p_from and r.bucket < p_to
             and (v_only_provider is null or r.provider = v_only_provider)
             and (v_only_model is null or r.model = v_only_model)
             and (v_only_source is null or r.source = v_only_source)
           group by 1, 2, 3, 4, 5
        ) s
        left join lateral (select v.id, v.user_id from public.devices v where v.id = s.subject_id offset 0) d on true;
    return;
  end if;
  -- Days that are summed up as a whole, where no period begins within one; the rest is read by the quarter hour.
  if v_summed then
    select array_agg(d.day),
           tstzmultirange(tstzrange(p_from, p_to)) - coalesce(range_agg(tstzrange(d.starts, d.ends)), '{}'::tstzmultirange)
      into v_days, v_rest
      from (
        select s.day, s.day::timestamp at time zone 'UTC' as starts, (s.day + 1)::timestamp at time zone 'UTC' as ends
          from private.summed_days s
         where s.summed_at is not null and s.day >= (p_from at time zone 'UTC')::date and s.day < (p_to at time zone 'UTC')::date
           and not exists (select from private.changed_days c where c.day = s.day)
      ) d
     where d.starts >= p_from
       and (
         p_starts is null
         or width_bucket(d.starts, p_starts) = width_bucket(d.ends - interval '1 microsecond', p_starts)
       );
  end if;
  -- Names of a closed list only, and only those that are asked for, so that nothing is grouped or compared in vain.
  return query execute format(
    $query$
      with sums as materialized (
        select coalesce(width_bucket(r.bucket, $1), 0) as period, %1$s as provider, %2$s as model, %3$s as source,
               %4$s as subject_id,
               sum(r.events) as events, sum(r.prompts) as prompts, sum(r.input_tokens) as input_tokens,
               sum(r.output_tokens) as output_tokens, sum(r.total_tokens) as total_tokens, sum(r.cost) as cost,
               sum(r.nano_usd) as nano_usd
          from (%5$s) r
         where %9$s
         group by 1, 2, 3, 4, 5
      )
      select s.period, s.provider, s.model, s.source, %6$s, %7$s,
             s.events, s.prompts, s.input_tokens, s.output_tokens, s.total_tokens, s.cost, s.nano_usd
        from sums s %8$s
    $query$,
    case when v_provider then 'r.provider' else 'null::text' end,
    case when v_model then 'r.model' else 'null::text' end,
    case when v_source then 'r.source' else 'null::text' end,
    case when v_device or v_user then 'r.subject_id' else 'null::uuid' end,
    case
      when v_summed then format(
        $source$
          select d.day::timestamp at time zone 'UTC' as bucket, d.provider, d.model, d.source, d.events, d.prompts,
                 d.input_tokens, d.output_tokens, d.total_tokens, d.cost, d.nano_usd
            from private.daily_usage d where d.day = any ($4)
          union all
          select u.bucket, %s, u.events, u.prompts, u.input_tokens, u.output_tokens, u.total_tokens, u.cost, u.nano_usd
            from unnest($5) x(part)
           cross join lateral (
             select * from public.%I where bucket >= lower(x.part) and bucket < upper(x.part) offset 0
           ) u
        $source$,
        case when v_is_total then 'null, null, null' else 'u.provider, u.model, u.source' end,
        case when v_is_total then 'usage_totals' else 'usage_rollups' end
      )
      else 'select * from public.usage_rollups u where u.bucket >= $2 and u.bucket < $3'
    end,
    case when v_device then 'd.id' else 'null::uuid' end,
    case when v_user then 'coalesce(d.user_id, case when d.id is null then s.subject_id end)' else 'null::uuid' end,
    case when v_device or v_user then 'left join public.devices d on d.id = s.subject_id' else '' end,
    coalesce(
      nullif(
        concat_ws(
          ' and ', 'r.provider = ' || quote_literal(v_only_provider), 'r.model = ' || quote_literal(v_only_model),
          'r.source = ' || quote_literal(v_only_source)
        ), ''
      ), 'true'
    )
  )
  using p_starts, p_from, p_to, v_days, v_rest;
end
$$;
grant execute on function public.usage_sums(uuid[], text[], timestamptz[], timestamptz, timestamptz, jsonb) to authenticated;
comment on function public.usage_sums(uuid[], text[], timestamptz[], timestamptz, timestamptz, jsonb) is
  'Returns what the rollups of subjects, or of everybody the caller may see, add up to in a range, filtered by any of provider, model, source: by the named ones of provider, model, source, device, user (the others are null) and by period, the number of the last of its starts that a use does not come before, 0 where there are none.';

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
        union all
        select * from private.prove_days(p_full)
      ) p
     order by p.place;
end
$$;
grant execute on function public.verify_ledger(boolean) to service_role;
comment on function public.verify_ledger(boolean) is
  'Recomputes every balance, hold, rollup, counter, generation and paid grant from the rows behind it; of months that are sealed only what changed since, unless p_full. One row per check; ok is false where discrepancies lists differences.';

create or replace function public.verify_ledger_as(p_actor jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = '' set statement_timeout = '15min'
as $$
-- Definer: verify_ledger reads every row.
begin
  perform private.require_admin(p_actor, 'viewer');
  return private.prove_ledger();
end
$$;
grant execute on function public.verify_ledger_as(jsonb) to service_role;
comment on function public.verify_ledger_as(jsonb) is 'Runs verify_ledger for an admin: {ok, checks: [{name, ok, checked, discrepancies}]}.';

create or replace function public.verify_person(p_person uuid, p_tokens bigint default 0, p_why text default null)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
begin
  return private.mark_verified(
    private.by_hand(p_why), private.require_hand_person(p_person), greatest(coalesce(p_tokens, 0), 0)
  );
end
$$;
comment on function public.verify_person(uuid, bigint, text) is
  'For the SQL editor: marks a person''s address as proved, and pays the first tokens where they were not. Returns the account.';

create or replace function public.verify_user(p_actor jsonb, p_user_id uuid, p_default_tokens bigint)
returns jsonb
language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: writes users and balances, which no API role may.
begin
  return private.mark_verified(private.require_admin_by(p_actor), p_user_id, p_default_tokens);
end
$$;
grant execute on function public.verify_user(jsonb, uuid, bigint) to service_role;
comment on function public.verify_user(jsonb, uuid, bigint) is
  'Marks an account''s address as proved on an admin''s word, and pays the default tokens where they were not. Returns the account; raises USER_NOT_FOUND.';

create or replace trigger audit_log_append_only
  before update or delete or truncate on public.audit_log
  for each statement execute function private.refuse_change('what grant_tokens(), block_device() and their kind wrote down stays');

create or replace trigger balances_warn
  before update on public.balances
  for each row when (
    new.used > old.used
    and (
      new.alert_at is null or new.used >= new.alert_at
      or new.alert_period <> new.period or new.alert_allocated <> new.allocated
    )
  ) execute function private.warn_of_balance();

create or replace trigger budgets_warn
  before update on public.budgets
  for each row when (new.total is not null) execute function private.warn_of_pool();

create or replace trigger by_hand
  before insert or update or delete or truncate on private.admin_recovery_codes
  for each statement execute function private.refuse_by_hand('call manage_admin(''reset-2fa'', username), as npm run admin does');
alter table private.admin_recovery_codes enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.admin_second_factors
  for each statement execute function private.refuse_by_hand('call manage_admin(''reset-2fa'', username), as npm run admin does');
alter table private.admin_second_factors enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or truncate on private.admin_sessions
  for each statement execute function private.refuse_by_hand('log-ins make them (finish_admin_login()); delete single rows to end them');
alter table private.admin_sessions enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.admins
  for each statement execute function private.refuse_by_hand('call manage_admin(''remove'', username), as npm run admin does, which adds admins and sets passwords as well');
alter table private.admins enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.alert_mails
  for each statement execute function private.refuse_by_hand('they are queued by queue_alert_mail() and go with their mails');
alter table private.alert_mails enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.alert_settings
  for each statement execute function private.refuse_by_hand('call set_alert_settings(), as the admin API does');
alter table private.alert_settings enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or truncate on private.api_keys
  for each statement execute function private.refuse_by_hand('create_api_key() makes them; delete single rows to end them, or call end_person_sessions(person, true)');
alter table private.api_keys enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.changed_days
  for each statement execute function private.refuse_by_hand('maintain() sums days up, and verify_ledger(true) proves their sums');
alter table private.changed_days enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.changed_usage
  for each statement execute function private.refuse_by_hand('keep_seals() keeps the months'' seals, and verify_ledger(true) proves the books without them');
alter table private.changed_usage enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.daily_usage
  for each statement execute function private.refuse_by_hand('maintain() sums days up, and verify_ledger(true) proves their sums');
alter table private.daily_usage enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.device_keys
  for each statement execute function private.refuse_by_hand('without them a request that is sent again would be charged again; they go by themselves, by maintain()');
alter table private.device_keys enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.email_changes
  for each statement execute function private.refuse_by_hand('call verify_person(person) to prove an address; what expired goes by maintain()');
alter table private.email_changes enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.email_verifications
  for each statement execute function private.refuse_by_hand('call verify_person(person) to prove an address; what expired goes by maintain()');
alter table private.email_verifications enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.external_identities
  for each statement execute function private.refuse_by_hand('sign_in_with_provider() links them, and remove_person(person, ''why'') takes them away with the account');
alter table private.external_identities enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.future_changes
  for each statement execute function private.refuse_by_hand('settings are their person''s, and are written with their versions by push_settings(), put_settings() and restore_settings()');
alter table private.future_changes enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.granted_identities
  for each statement execute function private.refuse_by_hand('call verify_person(person, tokens) or grant_tokens(person, tokens, ''why'') to pay somebody once more');
alter table private.granted_identities enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.idempotency_keys
  for each statement execute function private.refuse_by_hand('without them a request that is sent again would be charged again; they go by themselves, by maintain()');
alter table private.idempotency_keys enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.invitations
  for each statement execute function private.refuse_by_hand('admins make and take them back with create_invitation() and delete_invitation(); add_person(''ada@example.com'') needs none');
alter table private.invitations enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or truncate on private.known_addresses
  for each statement execute function private.refuse_by_hand('they are counted by count_attempt() and login_succeeded(); delete rows to let somebody try again');
alter table private.known_addresses enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.ledger_checks
  for each statement execute function private.refuse_by_hand('call verify_ledger(), whose results it keeps');
alter table private.ledger_checks enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or truncate on private.login_attempts
  for each statement execute function private.refuse_by_hand('they are counted by count_attempt() and login_succeeded(); delete rows to let somebody try again');
alter table private.login_attempts enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.mails
  for each statement execute function private.refuse_by_hand('mails are dropped with what they are about, such as remove_person(person, ''why''), and what expired by maintain()');
alter table private.mails enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.migration_checksums
  for each statement execute function private.refuse_by_hand('every migration notes itself with record_migration()');
alter table private.migration_checksums enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.oauth_codes
  for each statement execute function private.refuse_by_hand('they belong to sign-ins under way, and what expired goes by maintain()');
alter table private.oauth_codes enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.oauth_flows
  for each statement execute function private.refuse_by_hand('they belong to sign-ins under way, and what expired goes by maintain()');
alter table private.oauth_flows enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.password_resets
  for each statement execute function private.refuse_by_hand('request_password_reset() makes them, and what expired goes by maintain()');
alter table private.password_resets enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.proof_codes
  for each statement execute function private.refuse_by_hand('they go with their session: call end_person_sessions(person)', 'cascade');
alter table private.proof_codes enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.refresh_tokens
  for each statement execute function private.refuse_by_hand('they go with their session: call end_person_sessions(person)', 'cascade');
alter table private.refresh_tokens enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.retired_usage
  for each statement execute function private.refuse_by_hand('keep_seals() keeps the months'' seals, and verify_ledger(true) proves the books without them');
alter table private.retired_usage enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.rollup_names
  for each statement execute function private.refuse_by_hand('events, their sums and their debits are written together, by meter_devices(), meter_chat() and record_usage(); to make up for a use call grant_tokens(subject, tokens, ''why'')');
alter table private.rollup_names enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.sealed_events
  for each statement execute function private.refuse_by_hand('keep_seals() keeps the months'' seals, and verify_ledger(true) proves the books without them');
alter table private.sealed_events enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.sealed_months
  for each statement execute function private.refuse_by_hand('keep_seals() keeps the months'' seals, and verify_ledger(true) proves the books without them');
alter table private.sealed_months enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.sealed_rollups
  for each statement execute function private.refuse_by_hand('keep_seals() keeps the months'' seals, and verify_ledger(true) proves the books without them');
alter table private.sealed_rollups enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.sealed_totals
  for each statement execute function private.refuse_by_hand('keep_seals() keeps the months'' seals, and verify_ledger(true) proves the books without them');
alter table private.sealed_totals enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.secrets
  for each statement execute function private.refuse_by_hand('identity_digest() knows by it who was paid first tokens: with another, everybody would be paid again');
alter table private.secrets enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or truncate on private.sessions
  for each statement execute function private.refuse_by_hand('log-ins make them; delete single rows to end them, or call end_person_sessions(person)');
alter table private.sessions enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.stripe_events
  for each statement execute function private.refuse_by_hand('it is written with what Stripe tells, by apply_invoice() and settle_return(); to make up for something call grant_tokens(person, tokens, ''why'')');
alter table private.stripe_events enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.stripe_returns
  for each statement execute function private.refuse_by_hand('it is written with what Stripe tells, by apply_invoice() and settle_return(); to make up for something call grant_tokens(person, tokens, ''why'')');
alter table private.stripe_returns enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.stripe_syncs
  for each statement execute function private.refuse_by_hand('it is written with what Stripe tells, by apply_invoice() and settle_return(); to make up for something call grant_tokens(person, tokens, ''why'')');
alter table private.stripe_syncs enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.summed_days
  for each statement execute function private.refuse_by_hand('maintain() sums days up, and verify_ledger(true) proves their sums');
alter table private.summed_days enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.user_credentials
  for each statement execute function private.refuse_by_hand('passwords are set by reset_password() and change_password(), which end what the old one had opened; end_person_sessions(person, true) ends that at once');
alter table private.user_credentials enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.webhook_deliveries
  for each statement execute function private.refuse_by_hand('deliveries are written by emit_event() and go by prune_webhooks(); redeliver_webhook() sends one again', 'cascade');
alter table private.webhook_deliveries enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.webhook_endpoints
  for each statement execute function private.refuse_by_hand('call create_webhook() or delete_webhook(), as the admin API does');
alter table private.webhook_endpoints enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on public.audit_log
  for each statement execute function private.refuse_by_hand('its lines are written by what they tell of, such as grant_tokens() and block_device()');
alter table public.audit_log enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on public.balances
  for each statement execute function private.refuse_by_hand('call grant_tokens(subject, tokens, ''why''), take_back_tokens(subject, tokens, ''why'') or transfer_tokens(from, to, tokens, ''why'')');
alter table public.balances enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on public.budgets
  for each statement execute function private.refuse_by_hand('call set_pool(''device'', tokens, ''why''), or ''user''; what is allocated follows grant_tokens() and take_back_tokens()');
alter table public.budgets enable always trigger by_hand;

create or replace trigger by_hand
  before insert or delete or truncate on public.devices
  for each statement execute function private.refuse_by_hand('register_device() adds them, remove_device(device, ''why'') takes one away');
alter table public.devices enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on public.feature_events
  for each statement execute function private.refuse_by_hand('they are written together by record_features() and go with retention, by maintain()');
alter table public.feature_events enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on public.feature_rollups
  for each statement execute function private.refuse_by_hand('they are written together by record_features() and go with retention, by maintain()');
alter table public.feature_rollups enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on public.generations
  for each statement execute function private.refuse_by_hand('they are settled by meter_chat() and correct_generation(); to make up for one call grant_tokens(person, tokens, ''why'')');
alter table public.generations enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on public.ledger_entries
  for each statement execute function private.refuse_by_hand('call grant_tokens(subject, tokens, ''why'') or take_back_tokens(subject, tokens, ''why''), which change the balance as well');
alter table public.ledger_entries enable always trigger by_hand;

create or replace trigger by_hand
  before truncate on public.model_costs
  for each statement execute function private.refuse_by_hand('delete the rows you mean, or call set_model_costs()');
alter table public.model_costs enable always trigger by_hand;

create or replace trigger by_hand
  before truncate on public.model_weights
  for each statement execute function private.refuse_by_hand('delete the rows you mean, or call set_model_weights()');
alter table public.model_weights enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on public.period_balances
  for each statement execute function private.refuse_by_hand('call start_period(tokens), which ends the period and gives every device its tokens');
alter table public.period_balances enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on public.periods
  for each statement execute function private.refuse_by_hand('call start_period(tokens), which ends the period and gives every device its tokens');
alter table public.periods enable always trigger by_hand;

create or replace trigger by_hand
  before insert or delete or truncate on public.plans
  for each statement execute function private.refuse_by_hand('there are three tiers, whose tokens and devices may be edited; give_plan(person, tier) gives somebody one');
alter table public.plans enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on public.reservations
  for each statement execute function private.refuse_by_hand('holds are settled by meter_devices() and meter_chat(), and those that expired are ended by maintain()');
alter table public.reservations enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on public.settings
  for each statement execute function private.refuse_by_hand('settings are their person''s, and are written with their versions by push_settings(), put_settings() and restore_settings()');
alter table public.settings enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on public.settings_entries
  for each statement execute function private.refuse_by_hand('settings are their person''s, and are written with their versions by push_settings(), put_settings() and restore_settings()');
alter table public.settings_entries enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on public.settings_versions
  for each statement execute function private.refuse_by_hand('settings are their person''s, and are written with their versions by push_settings(), put_settings() and restore_settings()');
alter table public.settings_versions enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on public.subscription_grants
  for each statement execute function private.refuse_by_hand('it is written with what Stripe tells, by apply_invoice() and settle_return(); to make up for something call grant_tokens(person, tokens, ''why'')');
alter table public.subscription_grants enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on public.subscriptions
  for each statement execute function private.refuse_by_hand('call give_plan(person, tier); what is paid is told by Stripe, through apply_subscription()');
alter table public.subscriptions enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on public.tracker_counters
  for each statement execute function private.refuse_by_hand('they are the sums of what track_usage() recorded; change_tracker() sets them right for an admin');
alter table public.tracker_counters enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on public.usage_events
  for each statement execute function private.refuse_by_hand('events, their sums and their debits are written together, by meter_devices(), meter_chat() and record_usage(); to make up for a use call grant_tokens(subject, tokens, ''why'')');
alter table public.usage_events enable always trigger by_hand;

create or replace trigger by_hand
  before update or delete or truncate on public.usage_rollups
  for each statement execute function private.refuse_by_hand('events, their sums and their debits are written together, by meter_devices(), meter_chat() and record_usage(); to make up for a use call grant_tokens(subject, tokens, ''why'')');
alter table public.usage_rollups enable always trigger by_hand;

create or replace trigger by_hand
  before update or delete or truncate on public.usage_totals
  for each statement execute function private.refuse_by_hand('events, their sums and their debits are written together, by meter_devices(), meter_chat() and record_usage(); to make up for a use call grant_tokens(subject, tokens, ''why'')');
alter table public.usage_totals enable always trigger by_hand;

create or replace trigger by_hand
  before insert or delete or truncate on public.users
  for each statement execute function private.refuse_by_hand('call add_person(''ada@example.com'') or remove_person(person, ''why'')');
alter table public.users enable always trigger by_hand;

create or replace trigger by_hand_delete
  after delete on private.admin_sessions
  for each row when (pg_catalog.current_setting('search_path') not in ('', '""'))
  execute function private.record_by_hand('admin_session', 'id', '', 'admin_id,created_at');
alter table private.admin_sessions enable always trigger by_hand_delete;

create or replace trigger by_hand_delete
  after delete on private.api_keys
  for each row when (pg_catalog.current_setting('search_path') not in ('', '""'))
  execute function private.record_by_hand('user', 'user_id', '', 'id,prefix,scopes');
alter table private.api_keys enable always trigger by_hand_delete;

create or replace trigger by_hand_delete
  before delete on private.known_addresses
  for each statement when (pg_catalog.current_setting('search_path') not in ('', '""'))
  execute function private.record_by_hand();
alter table private.known_addresses enable always trigger by_hand_delete;

create or replace trigger by_hand_delete
  before delete on private.login_attempts
  for each statement when (pg_catalog.current_setting('search_path') not in ('', '""'))
  execute function private.record_by_hand();
alter table private.login_attempts enable always trigger by_hand_delete;

create or replace trigger by_hand_delete
  after delete on private.sessions
  for each row when (pg_catalog.current_setting('search_path') not in ('', '""'))
  execute function private.record_by_hand('user', 'user_id', '', 'id,created_at');
alter table private.sessions enable always trigger by_hand_delete;

create or replace trigger by_hand_insert
  after insert on public.usage_rollups
  for each row execute function private.refuse_by_hand('events, their sums and their debits are written together, by meter_devices(), meter_chat() and record_usage(); to make up for a use call grant_tokens(subject, tokens, ''why'')');
alter table public.usage_rollups enable always trigger by_hand_insert;

create or replace trigger by_hand_insert
  after insert on public.usage_totals
  for each row execute function private.refuse_by_hand('events, their sums and their debits are written together, by meter_devices(), meter_chat() and record_usage(); to make up for a use call grant_tokens(subject, tokens, ''why'')');
alter table public.usage_totals enable always trigger by_hand_insert;

create or replace trigger by_hand_last
  after delete on public.model_costs
  for each row when (old.model = '*')
  execute function private.refuse_by_hand('the price of all other models can be changed, by an update or set_model_costs(), and never removed');
alter table public.model_costs enable always trigger by_hand_last;

create or replace trigger by_hand_row
  after insert or update or delete on public.model_costs
  for each row when (pg_catalog.current_setting('search_path') not in ('', '""'))
  execute function private.record_by_hand('model', 'model', 'cost,updated_at', 'cost', 'insert a row for another model, as set_model_costs() does');
alter table public.model_costs enable always trigger by_hand_row;

create or replace trigger by_hand_row
  after insert or update or delete on public.model_weights
  for each row when (pg_catalog.current_setting('search_path') not in ('', '""'))
  execute function private.record_by_hand('model', 'model', 'input_weight,output_weight,source,comment,updated_at', 'input_weight,output_weight,source,comment', 'insert a row for another model, as set_model_weights() does');
alter table public.model_weights enable always trigger by_hand_row;

create or replace trigger by_hand_update
  after update on public.devices
  for each row when (pg_catalog.current_setting('search_path') not in ('', '""'))
  execute function private.record_by_hand('device', 'id', 'name,blocked', 'name,blocked', 'rotate_device(device) ends its tokens, release_device(device) takes it off its account, remove_device(device, ''why'') takes it away');
alter table public.devices enable always trigger by_hand_update;

create or replace trigger by_hand_update
  after update on public.plans
  for each row when (pg_catalog.current_setting('search_path') not in ('', '""'))
  execute function private.record_by_hand('plan', 'tier', 'monthly_tokens,device_limit,updated_at', 'monthly_tokens,device_limit', 'give_plan(person, tier) gives somebody another tier');
alter table public.plans enable always trigger by_hand_update;

create or replace trigger by_hand_update
  after update on public.users
  for each row when (pg_catalog.current_setting('search_path') not in ('', '""'))
  execute function private.record_by_hand('user', 'id', 'name,picture,suspended_at,updated_at', 'suspended_at', 'verify_person(person) proves an address, suspend_person(person) and resume_person(person) say who may go on');
alter table public.users enable always trigger by_hand_update;

create or replace trigger devices_emit_blocked
  after update of blocked on public.devices
  for each row when (new.blocked and not old.blocked) execute function private.emit_device_event();

create or replace trigger devices_emit_registered
  after insert on public.devices
  for each row execute function private.emit_device_event();

create or replace trigger ledger_entries_append_only
  before update or delete or truncate on public.ledger_entries
  for each statement execute function private.refuse_change('make up for an entry with grant_tokens() or take_back_tokens()');

create or replace trigger periods_emit_reset
  after insert on public.periods
  for each row when (new.number > 1) execute function private.emit_period_event();

create or replace trigger subscriptions_emit_begun
  after insert on public.subscriptions
  for each row when (new.status <> 'none') execute function private.emit_subscription_event();

create or replace trigger subscriptions_emit_changed
  after update on public.subscriptions
  for each row when (
    (old.tier, old.status, old.current_period_end, old.cancel_at_period_end, old.returned_tier)
    is distinct from (new.tier, new.status, new.current_period_end, new.cancel_at_period_end, new.returned_tier)
  ) execute function private.emit_subscription_event();

-- Months there are already.
select private.guard_partition(p.name) from private.usage_partitions() p;

comment on column public.audit_log.actor is 'admin:<name>, system:<what>, user:<id>, or sql:<role> for what was done by hand.';

reset check_function_bodies;
reset search_path;

-- Notes the SHA-256 of the text above.
select private.record_migration('20261128044855', '4df89880fc23ad4b1b3eeecf155afa64e9b4186e39d003ec92fb035521847af9');
