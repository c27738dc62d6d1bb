-- The whole schema of Tokenledger, to paste into the SQL editor of a Supabase project.
-- The same as "supabase db push", and safe to run again. Made by "npm run schema"; edit supabase/migrations instead.

begin;

-- 20261122000100_foundation

-- Foundation: nothing is callable or readable unless a later migration grants it by name.

-- Postgres lets everybody execute new functions; only a global revoke changes that default.
alter default privileges revoke execute on functions from public;

-- Supabase grants its API roles everything on new objects in `public`; here grants are explicit.
alter default privileges in schema public revoke all on tables from anon, authenticated, service_role;
alter default privileges in schema public revoke all on sequences from anon, authenticated, service_role;
alter default privileges in schema public revoke execute on functions from anon, authenticated, service_role;

create schema if not exists private;
comment on schema private is 'Secrets, helpers and partitions. Not exposed by the Data API, granted to no API role.';
revoke all on schema private from public;

-- The table `supabase db push` keeps its versions in; created here for every other way to migrate.
create schema if not exists supabase_migrations;
revoke all on schema supabase_migrations from public;
create table if not exists supabase_migrations.schema_migrations (
  version text primary key,
  statements text[],
  name text
);

create or replace function public.schema_version()
returns text
language sql stable security definer set search_path = ''
as $$ select max(version) from supabase_migrations.schema_migrations $$;
-- Definer: the server may ask which migrations ran without access to the schema that records them.
revoke all on function public.schema_version() from public, anon, authenticated, service_role;
grant execute on function public.schema_version() to service_role;
comment on function public.schema_version() is
  'The newest applied migration. The server compares it with its own at start and on /readyz.';

insert into supabase_migrations.schema_migrations (version, name)
values ('20261122000100', 'foundation')
on conflict (version) do nothing;

-- 20261122000200_accounts

-- Accounts: the people usage is counted for.

create table if not exists public.users (
  id uuid primary key default gen_random_uuid(),
  email text not null unique check (email = lower(email) and length(email) between 3 and 320),
  name text check (length(name) <= 200),
  picture text check (length(picture) <= 2048),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
alter table public.users enable row level security;
revoke all on table public.users from anon, authenticated, service_role;
grant select on table public.users to authenticated;

drop policy if exists users_read_own on public.users;
create policy users_read_own on public.users
  for select to authenticated
  using (id = (select auth.uid()));

comment on table public.users is 'People with an account. Secrets (password hashes, tokens) live in the schema private.';
comment on column public.users.id is 'The account''s id, also the subject id of its balance.';
comment on column public.users.email is 'Lower-case e-mail address, unique.';
comment on column public.users.name is 'Display name, if given.';
comment on column public.users.picture is 'Address of a profile picture, if given.';
comment on column public.users.created_at is 'When the account was created.';
comment on column public.users.updated_at is 'When the profile last changed.';

insert into supabase_migrations.schema_migrations (version, name)
values ('20261122000200', 'accounts')
on conflict (version) do nothing;

-- 20261122000300_devices

-- Devices: the installations of an extension that hold a token balance.

create table if not exists public.devices (
  id uuid primary key default gen_random_uuid(),
  user_id uuid references public.users (id) on delete set null,
  name text not null check (length(name) between 1 and 200),
  fingerprint_hash bytea not null unique check (length(fingerprint_hash) = 32),
  token_version integer not null default 1 check (token_version > 0),
  blocked boolean not null default false,
  registrations integer not null default 1 check (registrations > 0),
  last_registered_at timestamptz not null default now(),
  created_at timestamptz not null default now()
);
create index if not exists devices_user_id_idx on public.devices (user_id);
alter table public.devices enable row level security;
revoke all on table public.devices from anon, authenticated, service_role;
grant select (id, user_id, name, blocked, registrations, last_registered_at, created_at)
  on table public.devices to authenticated;

drop policy if exists devices_read_own on public.devices;
create policy devices_read_own on public.devices
  for select to authenticated
  using (
    id = (select (auth.jwt() ->> 'device_id')::uuid)
    or user_id = (select auth.uid())
  );

comment on table public.devices is 'Installations of an extension. Each has one balance of tokens and a bearer token of its own.';
comment on column public.devices.id is 'The device''s id, also the subject id of its balance.';
comment on column public.devices.user_id is 'The account the device is linked to, if any.';
comment on column public.devices.name is 'Name given at the first registration; an admin may change it.';
comment on column public.devices.fingerprint_hash is 'SHA-256 of the hardware fingerprint; the fingerprint itself is not kept.';
comment on column public.devices.token_version is 'Tokens carry this number; raising it invalidates all earlier ones.';
comment on column public.devices.blocked is 'A blocked device can neither spend nor ask.';
comment on column public.devices.registrations is 'How often the device registered: extensions do so on every activation.';
comment on column public.devices.last_registered_at is 'When the device registered last.';
comment on column public.devices.created_at is 'When the device registered first.';

insert into supabase_migrations.schema_migrations (version, name)
values ('20261122000300', 'devices')
on conflict (version) do nothing;

-- 20261122000400_metering

-- Metering: balances, the ledger behind them, usage events with their rollups, holds and prices.

create table if not exists public.balances (
  subject_id uuid primary key,
  subject_kind text not null check (subject_kind in ('device', 'user')),
  allocated bigint not null default 0 check (allocated between 0 and 9007199254740991),
  used bigint not null default 0 check (used >= 0),
  reserved bigint not null default 0 check (reserved >= 0),
  period integer not null default 1 check (period > 0),
  updated_at timestamptz not null default now(),
  constraint balances_never_overspent check (used + reserved <= allocated)
) with (fillfactor = 50);
comment on table public.balances is 'What each device or user may spend. Written only by the metering functions; remaining = allocated - used - reserved.';
comment on column public.balances.subject_id is 'The device or user the balance belongs to.';
comment on column public.balances.subject_kind is 'device or user.';
comment on column public.balances.allocated is 'Tokens granted; always the sum of the subject''s ledger entries.';
comment on column public.balances.used is 'Tokens spent in the current period; always the sum of its usage events'' costs.';
comment on column public.balances.reserved is 'Tokens in open holds; always the sum of the held reservations.';
comment on column public.balances.period is 'The budget period `used` counts for; a monthly reset starts the next.';
comment on column public.balances.updated_at is 'When the balance last changed.';

create table if not exists public.ledger_entries (
  id uuid primary key default gen_random_uuid(),
  subject_id uuid not null,
  kind text not null check (kind in ('grant', 'transfer', 'reset', 'adjustment', 'subscription')),
  amount bigint not null check (amount <> 0),
  period integer not null,
  actor text not null,
  reference text,
  created_at timestamptz not null default now()
);
create index if not exists ledger_entries_subject_idx on public.ledger_entries (subject_id, created_at);
create index if not exists ledger_entries_transfer_idx on public.ledger_entries (reference) where kind = 'transfer';
comment on table public.ledger_entries is 'Every change of an allocation, append-only. Their sum per subject is balances.allocated.';
comment on column public.ledger_entries.id is 'The entry''s id.';
comment on column public.ledger_entries.subject_id is 'The device or user whose allocation changed.';
comment on column public.ledger_entries.kind is 'grant, transfer (one of two legs), reset, adjustment or subscription.';
comment on column public.ledger_entries.amount is 'Tokens added (positive) or taken back (negative).';
comment on column public.ledger_entries.period is 'The budget period the change fell into.';
comment on column public.ledger_entries.actor is 'Who did it: system:registration, admin:<name>, …';
comment on column public.ledger_entries.reference is 'What it belongs to; the two legs of a transfer share it.';
comment on column public.ledger_entries.created_at is 'When it was written.';

create table if not exists public.usage_events (
  id uuid not null default gen_random_uuid(),
  subject_id uuid not null,
  user_id uuid,
  device_id uuid,
  source text not null check (source in ('device', 'extension', 'tracker', 'chat', 'api')),
  provider text not null default 'unknown' check (length(provider) between 1 and 50),
  model text not null check (length(model) between 1 and 200),
  prompt_count integer not null default 1 check (prompt_count >= 0),
  input_tokens bigint not null default 0 check (input_tokens >= 0),
  output_tokens bigint not null default 0 check (output_tokens >= 0),
  total_tokens bigint not null default 0 check (total_tokens >= 0),
  cost bigint not null default 0 check (cost >= 0),
  provenance text not null check (provenance in ('client_reported', 'provider_final', 'estimated')),
  period integer not null,
  url text check (length(url) <= 2048),
  occurred_at timestamptz not null default now(),
  created_at timestamptz not null default now(),
  primary key (subject_id, occurred_at, id)
) partition by range (occurred_at);
comment on table public.usage_events is 'One row per use of a model, append-only, partitioned by month.';
comment on column public.usage_events.id is 'The event''s id.';
comment on column public.usage_events.subject_id is 'The device or user whose balance the event counts against.';
comment on column public.usage_events.user_id is 'The account behind it, if known.';
comment on column public.usage_events.device_id is 'The device behind it, if any.';
comment on column public.usage_events.source is 'Which door it came through: device, extension, tracker, chat or api.';
comment on column public.usage_events.provider is 'The AI provider, unknown where the caller names none.';
comment on column public.usage_events.model is 'The model, trimmed and in lower case.';
comment on column public.usage_events.prompt_count is 'Prompts the event stands for.';
comment on column public.usage_events.input_tokens is 'Language-model tokens sent, 0 where not reported.';
comment on column public.usage_events.output_tokens is 'Language-model tokens received, 0 where not reported.';
comment on column public.usage_events.total_tokens is 'Language-model tokens altogether.';
comment on column public.usage_events.cost is 'What the event debited from the balance.';
comment on column public.usage_events.provenance is 'client_reported, provider_final or estimated.';
comment on column public.usage_events.period is 'The subject''s budget period at the time.';
comment on column public.usage_events.url is 'The page it happened on, without query and fragment.';
comment on column public.usage_events.occurred_at is 'When the use happened.';
comment on column public.usage_events.created_at is 'When the event was recorded.';

create table if not exists public.usage_rollups (
  subject_id uuid not null,
  bucket timestamptz not null,
  provider text not null,
  model text not null,
  source text not null,
  events bigint not null check (events >= 0),
  prompts bigint not null check (prompts >= 0),
  input_tokens bigint not null check (input_tokens >= 0),
  output_tokens bigint not null check (output_tokens >= 0),
  total_tokens bigint not null check (total_tokens >= 0),
  cost bigint not null check (cost >= 0),
  primary key (subject_id, bucket, provider, model, source)
) with (fillfactor = 70);
comment on table public.usage_rollups is 'Usage events summed per quarter hour, so that a day is exact in every time zone. Written in the same transaction as the events.';
comment on column public.usage_rollups.subject_id is 'The device or user.';
comment on column public.usage_rollups.bucket is 'Start of the quarter hour (UTC).';
comment on column public.usage_rollups.provider is 'The AI provider.';
comment on column public.usage_rollups.model is 'The model.';
comment on column public.usage_rollups.source is 'The door the events came through.';
comment on column public.usage_rollups.events is 'Number of events.';
comment on column public.usage_rollups.prompts is 'Sum of their prompts.';
comment on column public.usage_rollups.input_tokens is 'Sum of their input tokens.';
comment on column public.usage_rollups.output_tokens is 'Sum of their output tokens.';
comment on column public.usage_rollups.total_tokens is 'Sum of their tokens.';
comment on column public.usage_rollups.cost is 'Sum of what they debited.';

create table if not exists public.reservations (
  id uuid primary key default gen_random_uuid(),
  subject_id uuid not null,
  amount bigint not null check (amount >= 0),
  status text not null default 'held' check (status in ('held', 'settled', 'expired')),
  model text not null check (length(model) between 1 and 200),
  prompt_count integer not null check (prompt_count >= 0),
  usage_event_id uuid,
  expires_at timestamptz not null,
  created_at timestamptz not null default now(),
  closed_at timestamptz
);
create index if not exists reservations_held_idx on public.reservations (subject_id, expires_at) where status = 'held';
create index if not exists reservations_expiry_idx on public.reservations (expires_at) where status = 'held';
comment on table public.reservations is 'Holds: tokens set aside before a prompt and settled by the usage that follows, or given back when they expire.';
comment on column public.reservations.id is 'The hold''s id, sent back with the usage that settles it.';
comment on column public.reservations.subject_id is 'The device or user whose tokens are held.';
comment on column public.reservations.amount is 'Tokens held.';
comment on column public.reservations.status is 'held, settled (usage was debited) or expired (tokens given back).';
comment on column public.reservations.model is 'The model the hold was priced for.';
comment on column public.reservations.prompt_count is 'The prompts the hold was priced for.';
comment on column public.reservations.usage_event_id is 'The usage event that settled it.';
comment on column public.reservations.expires_at is 'From then on the hold guarantees nothing.';
comment on column public.reservations.created_at is 'When it was taken.';
comment on column public.reservations.closed_at is 'When it was settled or expired.';

create table if not exists public.model_costs (
  model text primary key check (model = lower(btrim(model)) and length(model) between 1 and 200),
  cost integer not null check (cost between 0 and 1000000),
  updated_at timestamptz not null default now()
);
insert into public.model_costs (model, cost) values ('*', 1), ('claude-opus-4.5', 3)
on conflict (model) do nothing;
comment on table public.model_costs is 'Tokens one prompt debits from a device, per model. Edit rows freely; the next debit uses the new price.';
comment on column public.model_costs.model is 'The model in lower case; * stands for every model without a row of its own.';
comment on column public.model_costs.cost is 'Tokens per prompt.';
comment on column public.model_costs.updated_at is 'When the price last changed.';

create table if not exists private.idempotency_keys (
  subject_id uuid not null,
  key text not null check (length(key) between 1 and 255),
  request_hash bytea not null,
  answer jsonb not null,
  created_at timestamptz not null default now(),
  primary key (subject_id, key)
);
create index if not exists idempotency_keys_created_at_idx on private.idempotency_keys (created_at);
comment on table private.idempotency_keys is 'The answers to writes that carried an idempotency key, so that a retry gets the same one and is charged once.';
comment on column private.idempotency_keys.subject_id is 'Keys are private to a device or user.';
comment on column private.idempotency_keys.key is 'The caller''s key.';
comment on column private.idempotency_keys.request_hash is 'SHA-256 of what was asked: the same key with another request is refused.';
comment on column private.idempotency_keys.answer is 'The original answer.';
comment on column private.idempotency_keys.created_at is 'When it was first used; kept for at least 24 hours.';

-- Row-level security: a device reads its own rows, a user their own and those of their devices.
do $$
declare
  v_table text;
begin
  foreach v_table in array array['balances', 'ledger_entries', 'usage_events', 'usage_rollups', 'reservations'] loop
    execute format('alter table public.%I enable row level security', v_table);
    execute format('revoke all on table public.%I from anon, authenticated, service_role', v_table);
    execute format('grant select on table public.%I to authenticated', v_table);
    execute format('drop policy if exists %I on public.%I', v_table || '_read_own', v_table);
    execute format(
      $policy$
        create policy %I on public.%I
          for select to authenticated
          using (
            subject_id = (select (auth.jwt() ->> 'device_id')::uuid)
            or subject_id = (select auth.uid())
            or subject_id in (select d.id from public.devices d where d.user_id = (select auth.uid()))
          )
      $policy$,
      v_table || '_read_own', v_table
    );
  end loop;
end
$$;
alter table public.model_costs enable row level security;
revoke all on table public.model_costs from anon, authenticated, service_role;
alter table private.idempotency_keys enable row level security;

insert into supabase_migrations.schema_migrations (version, name)
values ('20261122000400', 'metering')
on conflict (version) do nothing;

-- 20261122000500_metering_partitions

-- Metering, partitions: usage events live in one table a month, in the schema the Data API does not expose.

create or replace function private.ensure_usage_partition(p_at timestamptz)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_from timestamptz := date_trunc('month', p_at, 'UTC');
  v_to timestamptz := v_from + interval '1 month';
  v_name text := 'usage_events_' || to_char(v_from at time zone 'UTC', 'YYYY_MM');
begin
  if to_regclass('private.' || v_name) is not null then
    return;
  end if;
  -- Two writers may meet at the turn of a month: the second waits and then finds the table.
  perform pg_advisory_xact_lock(hashtext('private.ensure_usage_partition'));
  if to_regclass('private.' || v_name) is not null then
    return;
  end if;
  v_to := (v_from at time zone 'UTC' + interval '1 month') at time zone 'UTC';
  execute format('create table private.%I (like public.usage_events including all)', v_name);
  execute format('alter table private.%I enable row level security', v_name);
  execute format('comment on table private.%I is %L', v_name, 'Usage events of ' || to_char(v_from at time zone 'UTC', 'YYYY-MM') || '.');
  -- Attaching locks the parent less than creating a partition in place: writers go on.
  execute format(
    'alter table public.usage_events attach partition private.%I for values from (%L) to (%L)', v_name, v_from, v_to
  );
end
$$;
revoke all on function private.ensure_usage_partition(timestamptz) from public, anon, authenticated, service_role;
comment on function private.ensure_usage_partition(timestamptz) is
  'Creates the month''s partition of usage_events where it is missing.';

select private.ensure_usage_partition(now() + make_interval(months => n)) from generate_series(-1, 3) as n;

insert into supabase_migrations.schema_migrations (version, name)
values ('20261122000500', 'metering_partitions')
on conflict (version) do nothing;

-- 20261122000600_devices_register

-- Devices, registration: the same fingerprint is the same device, and only the first time brings tokens.

create or replace function public.register_device(
  p_device_name text,
  p_fingerprint text,
  p_default_tokens bigint
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes devices, balances and the ledger, which no API role may write.
declare
  v_device public.devices;
  v_balance public.balances;
begin
  insert into public.devices (name, fingerprint_hash)
  values (p_device_name, sha256(convert_to(p_fingerprint, 'UTF8')))
  on conflict (fingerprint_hash) do update
    set registrations = public.devices.registrations + 1, last_registered_at = now()
  returning * into v_device;

  if v_device.blocked then
    raise sqlstate 'PT403' using message = 'DEVICE_BLOCKED';
  end if;

  if v_device.registrations = 1 then
    insert into public.balances (subject_id, subject_kind, allocated)
    values (v_device.id, 'device', p_default_tokens)
    returning * into v_balance;
    insert into public.ledger_entries (subject_id, kind, amount, period, actor)
    select v_device.id, 'grant', p_default_tokens, v_balance.period, 'system:registration'
    where p_default_tokens <> 0;
  else
    select * into strict v_balance from public.balances where subject_id = v_device.id;
  end if;

  return jsonb_build_object(
    'device_id', v_device.id,
    'token_version', v_device.token_version,
    'created', v_device.registrations = 1,
    'allocated', v_balance.allocated,
    'remaining', v_balance.allocated - v_balance.used - v_balance.reserved
  );
end
$$;
revoke all on function public.register_device(text, text, bigint) from public, anon, authenticated, service_role;
grant execute on function public.register_device(text, text, bigint) to service_role;
comment on function public.register_device(text, text, bigint) is
  'Registers a device or finds it again by its fingerprint. Answers {device_id, token_version, created, allocated, remaining}; raises DEVICE_BLOCKED.';

insert into supabase_migrations.schema_migrations (version, name)
values ('20261122000600', 'devices_register')
on conflict (version) do nothing;

-- 20261122000700_metering_devices

-- Metering, devices: checks, holds, debits and balance reads of many requests in one call.
--
-- Items are taken per device in the order given, each sees what the ones before it left, and each gets
-- an outcome of its own. Devices are locked in id order, so concurrent calls cannot deadlock.

-- Gives back what expired holds of these subjects still set aside. The caller has locked their balances.
create or replace function private.expire_reservations(p_subjects uuid[])
returns void
language sql volatile set search_path = ''
as $$
  with expired as (
    update public.reservations r
       set status = 'expired', closed_at = now()
     where r.subject_id = any (p_subjects) and r.status = 'held' and r.expires_at <= now()
    returning r.subject_id, r.amount
  )
  update public.balances b
     set reserved = b.reserved - e.amount, updated_at = now()
    from (select subject_id, sum(amount)::bigint as amount from expired group by subject_id) e
   where b.subject_id = e.subject_id
$$;
revoke all on function private.expire_reservations(uuid[]) from public, anon, authenticated, service_role;
comment on function private.expire_reservations(uuid[]) is
  'Closes expired holds of the given subjects and returns their tokens; the balances must be locked by the caller.';

-- Adds events to the table and to their rollups, in one place so that the two cannot differ.
create or replace function private.record_usage_events(p_events public.usage_events[])
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  perform private.ensure_usage_partition(month)
     from (select distinct date_trunc('month', e.occurred_at, 'UTC') as month from unnest(p_events) e) months;
  insert into public.usage_events select e.* from unnest(p_events) e;
  insert into public.usage_rollups as r (
    subject_id, bucket, provider, model, source, events, prompts, input_tokens, output_tokens, total_tokens, cost
  )
  select e.subject_id, date_bin('15 minutes', e.occurred_at, 'epoch'), e.provider, e.model, e.source,
         count(*), sum(e.prompt_count), sum(e.input_tokens), sum(e.output_tokens), sum(e.total_tokens), sum(e.cost)
    from unnest(p_events) e
   group by 1, 2, 3, 4, 5
   order by 1, 2, 3, 4, 5
  on conflict (subject_id, bucket, provider, model, source) do update
    set events = r.events + excluded.events,
        prompts = r.prompts + excluded.prompts,
        input_tokens = r.input_tokens + excluded.input_tokens,
        output_tokens = r.output_tokens + excluded.output_tokens,
        total_tokens = r.total_tokens + excluded.total_tokens,
        cost = r.cost + excluded.cost;
end
$$;
revoke all on function private.record_usage_events(public.usage_events[]) from public, anon, authenticated, service_role;
comment on function private.record_usage_events(public.usage_events[]) is
  'Inserts usage events and adds them to the quarter-hour rollups.';

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
        select from public.reservations r
         where r.subject_id = i.device_id and r.status = 'held' and r.expires_at <= now()
      );
  if v_write is not null then
    perform from public.balances b where b.subject_id = any (v_write) order by b.subject_id for update;
    perform private.expire_reservations(v_write);
  end if;

  for v_item in
    select i.ord::integer as ord, i.op, i.device_id, i.prompt_count, coalesce(i.reserve, false) as reserve,
           i.key, i.reservation_id, i.model,
           d.id is not null and d.token_version = i.token_version as known, d.blocked, d.user_id,
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
          0, 0, 0, v_item.cost, 'client_reported', v_item.period, null, now(), now()
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
revoke all on function public.meter_devices(jsonb) from public, anon, authenticated, service_role;
grant execute on function public.meter_devices(jsonb) to service_role;
comment on function public.meter_devices(jsonb) is
  'Balance reads, checks, holds and debits of devices in one transaction. Takes an array of {op, device_id, token_version, model, prompt_count, reserve, key, reservation_id}, answers an array of outcomes in the same order: the result, or {code, …} where the item was refused.';

insert into supabase_migrations.schema_migrations (version, name)
values ('20261122000700', 'metering_devices')
on conflict (version) do nothing;

-- 20261122000800_ledger

-- Ledger: the books prove themselves.

create or replace function public.verify_ledger()
returns table (name text, ok boolean, checked bigint, discrepancies jsonb)
language plpgsql stable security definer set search_path = ''
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
        select subject_id, period, sum(cost) as total from public.usage_events group by subject_id, period
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
  ),
  transfers as (
    select e.reference, 0::numeric as stated, sum(e.amount) as proven
      from public.ledger_entries e where e.kind = 'transfer' group by e.reference
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
    select 'legs of each transfer cancel out', reference, to_jsonb(stated), to_jsonb(proven) from transfers
  ),
  titles(position, title) as (
    values
      (1, 'allocated = sum of ledger entries'),
      (2, 'used = sum of event costs in the period'),
      (3, 'reserved = sum of held reservations'),
      (4, 'rollups = sums of events'),
      (5, 'legs of each transfer cancel out')
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
  'Recomputes every balance, hold and rollup from the rows behind it. One row per check; ok is false where discrepancies lists differences.';

insert into supabase_migrations.schema_migrations (version, name)
values ('20261122000800', 'ledger')
on conflict (version) do nothing;

-- 20261122000900_maintenance

-- Maintenance: what time does to the books. Safe to run at any moment, by any number of servers at once.

create or replace function public.maintain()
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: expires holds, prunes keys and creates partitions, which no API role may.
declare
  v_subjects uuid[];
  v_pruned bigint;
begin
  -- One server at a time is enough; the others have nothing left to do.
  if not pg_try_advisory_xact_lock(hashtext('public.maintain')) then
    return jsonb_build_object('ran', false, 'expired_subjects', 0, 'pruned_keys', 0);
  end if;

  perform private.ensure_usage_partition(now() + make_interval(months => n)) from generate_series(0, 3) as n;

  select array_agg(distinct r.subject_id) into v_subjects
    from (
      select subject_id from public.reservations
       where status = 'held' and expires_at <= now() order by expires_at limit 1000
    ) r;
  if v_subjects is not null then
    perform from public.balances b where b.subject_id = any (v_subjects) order by b.subject_id for update;
    perform private.expire_reservations(v_subjects);
  end if;

  with pruned as (
    delete from private.idempotency_keys where created_at < now() - interval '48 hours' returning 1
  )
  select count(*) into v_pruned from pruned;

  return jsonb_build_object(
    'ran', true, 'expired_subjects', coalesce(cardinality(v_subjects), 0), 'pruned_keys', v_pruned
  );
end
$$;
revoke all on function public.maintain() from public, anon, authenticated, service_role;
grant execute on function public.maintain() to service_role;
comment on function public.maintain() is
  'Creates partitions ahead, gives back expired holds and prunes idempotency keys older than 48 hours. Answers {ran, expired_subjects, pruned_keys}.';

insert into supabase_migrations.schema_migrations (version, name)
values ('20261122000900', 'maintenance')
on conflict (version) do nothing;

-- 20261122001000_admin

-- Admin: who may run the budget.

create table if not exists private.admins (
  id uuid primary key default gen_random_uuid(),
  username text not null unique check (length(username) between 1 and 100),
  password_hash text not null check (password_hash like '$argon2id$%'),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
alter table private.admins enable row level security;
comment on table private.admins is 'People who may use the admin API.';
comment on column private.admins.id is 'The admin''s id.';
comment on column private.admins.username is 'Name to log in with.';
comment on column private.admins.password_hash is 'argon2id hash of the password.';
comment on column private.admins.created_at is 'When the admin was created.';
comment on column private.admins.updated_at is 'When the password last changed.';

create or replace function public.create_first_admin(p_username text, p_password_hash text)
returns boolean
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: private.admins is open to no API role.
begin
  -- Servers that start together agree on one first admin.
  lock table private.admins in share row exclusive mode;
  if exists (select from private.admins) then
    return false;
  end if;
  insert into private.admins (username, password_hash) values (p_username, p_password_hash);
  return true;
end
$$;
revoke all on function public.create_first_admin(text, text) from public, anon, authenticated, service_role;
grant execute on function public.create_first_admin(text, text) to service_role;
comment on function public.create_first_admin(text, text) is
  'Creates the first admin; answers false and changes nothing where one exists already.';

create or replace function public.has_admin()
returns boolean
language sql stable security definer set search_path = ''
as $$ select exists (select from private.admins) $$;
-- Definer: private.admins is open to no API role.
revoke all on function public.has_admin() from public, anon, authenticated, service_role;
grant execute on function public.has_admin() to service_role;
comment on function public.has_admin() is 'Whether anybody can log in as admin yet.';

insert into supabase_migrations.schema_migrations (version, name)
values ('20261122001000', 'admin')
on conflict (version) do nothing;

commit;

-- The Data API reads the functions again.
notify pgrst, 'reload schema';
