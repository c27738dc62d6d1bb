-- Mails wait in the database; events of devices are summed up; dashboards find the contracts' tables; metering reads and
-- writes what one call needs and no more; closed months are sealed.

-- Mails wait in the database until they are sent, so that neither a restart nor an outage loses one. They are written by
-- what causes them, in its transaction.

create table if not exists private.mails (
  id uuid primary key default gen_random_uuid(),
  kind text not null check (kind in ('password_reset', 'email_verification', 'email_change', 'proof_code', 'invitation', 'notice')),
  recipient text check (length(recipient) between 3 and 320),
  subject_id uuid not null,
  sealed bytea not null check (length(sealed) between 1 and 65536),
  queued_at timestamptz not null default now(),
  expires_at timestamptz not null,
  due_at timestamptz not null default now(),
  attempts integer not null default 0 check (attempts >= 0)
);
create index if not exists mails_due_idx on private.mails (due_at, id);
create index if not exists mails_expires_idx on private.mails (expires_at);
create index if not exists mails_recipient_idx on private.mails (recipient);
create index if not exists mails_subject_idx on private.mails (subject_id, kind);
comment on table private.mails is
  'Mails that wait to be sent. A link that is asked for writes a row whether or not there is an account, so that neither the answer nor its time tells.';
comment on column private.mails.id is 'The mail''s id, which its Message-ID has as well.';
comment on column private.mails.kind is 'What the mail is for.';
comment on column private.mails.recipient is 'The address, or null where nobody is mailed: the row goes with the next round.';
comment on column private.mails.subject_id is 'The account, session or invitation it is about; of links, a newer mail about the same replaces it.';
comment on column private.mails.sealed is 'Subject, text and HTML, encrypted (AES-256-GCM) with a key derived from JWT_SECRET: they hold links that open accounts.';
comment on column private.mails.queued_at is 'When it was written.';
comment on column private.mails.expires_at is 'When the link or code in it ends: from then on it is not sent any more.';
comment on column private.mails.due_at is 'When it is to be tried next. While a server tries it, when another one may.';
comment on column private.mails.attempts is 'How often it was tried, the attempt under way included.';
-- No policy and no grant: only functions with their definer's rights reach it.
alter table private.mails enable row level security;

-- Views under the names of the published contracts' tables: dashboards and Studio queries written from these run as they are.

create schema if not exists contracts;
revoke all on schema contracts from public;
comment on schema contracts is 'Views under the names of the published contracts'' tables, for dashboards. Not exposed by the Data API, granted to no API role.';

-- Devices send feature events, admins see everybody's, and the numbers in their properties are summed up.

alter table public.feature_events add column if not exists device_id uuid;
comment on column public.feature_events.device_id is 'The device that sent it, if one did.';
create index if not exists feature_events_user_idx on public.feature_events (user_id, occurred_at, id) where user_id is not null;
create index if not exists feature_events_device_idx on public.feature_events (device_id) where user_id is null;
alter table public.feature_events drop constraint if exists feature_events_pkey;
alter table public.feature_events add constraint feature_events_pkey primary key (id);
alter table public.feature_events alter column user_id drop not null;
comment on column public.feature_events.user_id is 'Whose it is, and goes with; null for a device that is linked to nobody.';
alter table public.feature_events drop constraint if exists feature_events_somebodys;
alter table public.feature_events add constraint feature_events_somebodys check (num_nonnulls(user_id, device_id) > 0);

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

drop function if exists private.close_generation(p_generation generations, p_status text, p_provenance text, p_input bigint, p_output bigint, p_nano_usd bigint);

drop function if exists private.drop_old_usage(p_horizon timestamp with time zone);

drop function if exists private.request_email_change(p_caller jsonb, p_email text, p_token_hash text);

drop function if exists public.change_password(p_caller jsonb, p_password_hash text, p_verified_hash text, p_revoke_keys boolean);

drop function if exists public.create_api_key(p_caller jsonb, p_name text, p_prefix text, p_key_hash text, p_scopes text[], p_expires_at text);

drop function if exists public.create_invitation(p_actor jsonb, p_code_hash text, p_days integer, p_email text, p_tokens bigint);

drop function if exists public.delete_account(p_caller jsonb);

drop function if exists public.log_out(p_caller jsonb, p_all boolean);

drop function if exists public.register_user(p_email text, p_password_hash text, p_default_tokens bigint, p_sign_up text, p_session jsonb, p_name text, p_invitation_hash text, p_verification_hash text);

drop function if exists public.request_email_verification(p_email text, p_token_hash text);

drop function if exists public.request_password_reset(p_email text, p_token_hash text);

drop function if exists public.request_proof_code(p_caller jsonb, p_code_hash text);

drop function if exists public.reset_password(p_token_hash text, p_password_hash text, p_default_tokens bigint, p_revoke_keys boolean);

drop function if exists public.update_profile(p_caller jsonb, p_changes jsonb, p_token_hash text);

drop function if exists public.verify_ledger();

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

-- The caller holds the account. Links that were mailed to the old address end with it.
create or replace function private.change_email(p_user_id uuid, p_email text)
returns boolean
language plpgsql volatile set search_path = ''
as $$
begin
  begin
    update public.users set email = p_email, email_verified_at = now(), updated_at = now() where id = p_user_id;
  exception
    when unique_violation then
      return false;
  end;
  delete from private.password_resets where user_id = p_user_id;
  delete from private.email_verifications where user_id = p_user_id;
  delete from private.email_changes where user_id = p_user_id;
  perform private.drop_mails(p_user_id);
  return true;
end
$$;
comment on function private.change_email(uuid, text) is
  'Gives an account another address, which was proved; returns false where it is another account''s.';

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

-- The answer to a chat request is not kept, so it cannot be given again; it must not be paid for again either.
create or replace function private.claim_generation_key(p_user_id uuid, p_item jsonb)
returns text
language plpgsql volatile set search_path = ''
as $$
declare
  v_key constant uuid := private.idempotency_key_hash(p_item ->> 'idempotency_key');
  -- The first 64 bits of what the server has hashed.
  v_request constant bigint := ('x' || left(p_item ->> 'request_hash', 16))::bit(64)::bigint;
begin
  insert into private.idempotency_keys (subject_id, key, request_hash, answer)
  values (p_user_id, v_key, v_request, jsonb_build_object('hold', p_item ->> 'hold'))
  on conflict (subject_id, key) do nothing;
  if found then
    return null;
  end if;
  return (
    select case when k.request_hash = v_request then 'ALREADY_ANSWERED' else 'IDEMPOTENCY_MISMATCH' end
      from private.idempotency_keys k
     where k.subject_id = p_user_id and k.key = v_key
  );
end
$$;
comment on function private.claim_generation_key(uuid, jsonb) is
  'Remembers the idempotency key of a chat request; returns ALREADY_ANSWERED or IDEMPOTENCY_MISMATCH where it was used before.';

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
    perform private.change_allocation(p_device_id, -v_unused, 'adjustment', p_actor, p_note);
    update public.budgets set allocated = allocated - v_unused, updated_at = now() where subject_kind = 'device';
  end if;
  return coalesce(v_unused, 0);
end
$$;
comment on function private.close_device(uuid, text, text) is
  'Ends the tokens and holds of a device, takes its fingerprint, and returns its unused tokens to the pool; returns how many. The pool and its balance must be locked.';

-- Ends a running generation: its hold goes, its cost is debited, and where that is more than hold and balance together
-- the rest becomes debt. The caller has locked the balance, and writes the rest of it with write_closed_generations.
create or replace function private.close_generation(
  p_generation public.generations, p_hold public.reservations, p_status text, p_provenance text, p_input bigint,
  p_output bigint, p_nano_usd bigint, out generation public.generations, out hold public.reservations,
  out event public.usage_events, out remaining bigint
)
language plpgsql volatile set search_path = ''
as $$
declare
  v_cost bigint := private.weighted_tokens(p_generation, p_input, p_output);
  v_period integer;
begin
  update public.balances b
     set reserved = b.reserved - p_hold.amount,
         used = b.used + least(v_cost, b.remaining + p_hold.amount),
         debt = b.debt + v_cost - least(v_cost, b.remaining + p_hold.amount),
         updated_at = now()
   where b.subject_id = p_generation.subject_id
  returning b.period, b.remaining into strict v_period, remaining;
  hold := p_hold;
  hold.status := p_status;
  generation := p_generation;
  generation.provenance := p_provenance;
  generation.input_tokens := p_input;
  generation.output_tokens := p_output;
  generation.reconcile_at := case when p_provenance = 'estimated' and p_generation.upstream_id is not null then now() end;
  if p_input + p_output > 0 then
    hold.usage_event_id := p_generation.id;
    event := row(
      p_generation.id, p_generation.subject_id, p_generation.subject_id, null, p_generation.source,
      coalesce(p_generation.provider, 'unknown'), p_generation.model, 1, p_input, p_output, p_input + p_output, v_cost,
      p_provenance, v_period, null, now(), now(),
      private.generation_money(p_generation, p_provenance, p_input, p_output, p_nano_usd)
    )::public.usage_events;
  end if;
end
$$;
comment on function private.close_generation(
  public.generations, public.reservations, text, text, bigint, bigint, bigint
) is
  'Settles the hold of a running generation in its balance, and returns both as they are closed, the usage event to record where anything was used, and what remains. The balance must be locked by the caller.';

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

create or replace function private.display_name(p_user public.users)
returns text
language sql immutable set search_path = ''
as $$
  select coalesce(nullif(btrim(p_user.name), ''), nullif(split_part(p_user.email, '@', 1), ''), p_user.email)
$$;
comment on function private.display_name(public.users) is
  'Returns what an account is called: its name, or what is before the @ of its address where it has none.';

create or replace function private.drop_mails(p_subject_id uuid, p_recipient text default null)
returns void
language sql volatile set search_path = ''
as $$
  delete from private.mails m where (m.subject_id = p_subject_id and m.kind <> 'notice') or m.recipient = p_recipient
$$;
comment on function private.drop_mails(uuid, text) is
  'Drops the links about a subject that wait to be mailed, and all that waits for an address, where one is given.';

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

-- Also with nothing to add: a running stream says that it is still there, and how far it has come.
create or replace function private.extend_generation(
  p_generation public.generations, p_hold public.reservations, p_item jsonb
)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_output bigint := p_item ->> 'output_tokens';
  v_amount bigint := 0;
begin
  if p_hold.status <> 'held' then
    return '{"code": "RESERVATION_SETTLED"}';
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
  update public.generations g
     set provider = coalesce(p_item ->> 'provider', g.provider),
         upstream_id = coalesce(p_item ->> 'upstream_id', g.upstream_id),
         input_seen = coalesce((p_item ->> 'input_seen')::bigint, g.input_seen),
         output_seen = coalesce((p_item ->> 'output_seen')::bigint, g.output_seen),
         input_floor = coalesce((p_item ->> 'input_floor')::bigint, g.input_floor),
         output_floor = coalesce((p_item ->> 'output_floor')::bigint, g.output_floor)
   where g.id = p_generation.id;
  return jsonb_build_object('output_tokens', v_output);
end
$$;
comment on function private.extend_generation(public.generations, public.reservations, jsonb) is
  'Notes how far a running chat request has come, and holds more tokens for it, fewer than asked for where fewer are left; returns {output_tokens}, or RESERVATION_SETTLED. The balance must be locked by the caller.';

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

create or replace function private.forget_devices(p_user_id uuid, p_actor text)
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  perform from public.budgets where subject_kind = 'device' for update;
  -- A debit under way holds its device's balance: none records the person after their name was taken out.
  perform from public.balances b
    where b.subject_id in (select d.id from public.devices d where d.first_user_id = p_user_id)
    order by b.subject_id for update;
  perform private.close_device(d.id, p_actor, 'account deleted')
     from public.devices d where d.first_user_id = p_user_id and d.deleted_at is null order by d.id;
  -- What they sent before they were linked.
  delete from public.feature_events e
   where e.user_id is null and e.device_id = any (array(select d.id from public.devices d where d.first_user_id = p_user_id));
  -- Those an admin removed before have a name, too.
  update public.devices set name = 'Deleted device', user_id = null, first_user_id = null where first_user_id = p_user_id;
end
$$;
comment on function private.forget_devices(uuid, text) is
  'Removes all devices that were ever linked to an account that is deleted: their tokens die, and name, fingerprint and owner are blanked.';

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
  -- A period has begun, and what expired holds keep is free again, also for those who only ask.
  if v_balance.period < (select max(p.number) from public.periods p) or v_balance.reserved > 0 and exists (
    select from public.reservations r
     where r.subject_id = p_device_id and r.status = 'held' and r.expires_at <= now()
  ) then
    perform from public.balances b where b.subject_id = p_device_id for update;
    perform private.enter_period(array[p_device_id]);
    perform private.expire_reservations(array[p_device_id]);
    select b.* into v_balance from public.balances b where b.subject_id = p_device_id;
  end if;
  return v_balance;
end
$$;
comment on function private.open_device_balance(uuid, boolean) is
  'Returns a device''s balance, locked where it is to be written, once it is in the running period and its expired holds are given back.';

create or replace function private.open_session(p_user_id uuid, p_session jsonb)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_expires_at timestamptz := now() + make_interval(secs => (p_session ->> 'lifetime_seconds')::integer);
  v_network text := p_session ->> 'network';
  v_is_new boolean := v_network is not null and private.is_new_network(p_user_id, v_network, p_session ->> 'address');
  v_id uuid;
begin
  if exists (select from public.users u where u.id = p_user_id and u.suspended_at is not null) then
    raise sqlstate 'PT403' using message = 'ACCOUNT_SUSPENDED';
  end if;
  insert into private.sessions (user_id, expires_at, user_agent, address)
  values (p_user_id, v_expires_at, left(p_session ->> 'user_agent', 300), left(p_session ->> 'address', 100))
  returning id into v_id;
  insert into private.refresh_tokens (token_hash, session_id, expires_at)
  values (decode(p_session ->> 'refresh_hash', 'hex'), v_id, v_expires_at);
  if v_network is not null then
    perform private.login_succeeded('user', p_user_id::text, v_network);
  end if;
  if v_is_new then
    perform private.queue_notice(p_user_id, (select u.email from public.users u where u.id = p_user_id), p_session ->> 'notice');
  end if;
  return private.session_json(v_id);
end
$$;
comment on function private.open_session(uuid, jsonb) is
  'Opens a session {refresh_hash, lifetime_seconds, user_agent, address, network, notice} with its first refresh token, and remembers the network, where there is one, as one its owner logs in from; where it is a new one, the sealed notice to them is queued. Returns {session_id, user}; raises ACCOUNT_SUSPENDED.';

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
  return v_sessions + v_tokens + v_keys + private.prune_oauth() + private.prune_password_resets() + private.prune_signup() + private.prune_mails();
end
$$;
comment on function private.prune_accounts() is
  'Removes sessions, tokens, codes, links and keys whose time is over; returns how many.';

create or replace function private.prune_mails()
returns integer
language plpgsql volatile set search_path = ''
as $$
declare
  v_pruned integer;
begin
  delete from private.mails
   where id in (select m.id from private.mails m where m.expires_at <= now() - interval '1 hour' for update skip locked);
  get diagnostics v_pruned = row_count;
  return v_pruned;
end
$$;
comment on function private.prune_mails() is
  'For maintenance: removes mails whose time was over an hour ago, where no server sends any that would have dropped them; returns how many.';

-- Works as much where nobody is to be mailed, so that the time tells nothing.
create or replace function private.queue_mail(
  p_kind text, p_recipient text, p_subject_id uuid, p_sealed text, p_lifetime interval
)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_subject_id uuid := coalesce(p_subject_id, gen_random_uuid());
begin
  -- Without a mail server nothing is sealed.
  if p_sealed is null then
    return;
  end if;
  if p_kind <> 'notice' then
    delete from private.mails m where m.subject_id = v_subject_id and m.kind = p_kind;
  end if;
  insert into private.mails (kind, recipient, subject_id, sealed, expires_at)
  values (
    p_kind, p_recipient, v_subject_id, decode(p_sealed, 'base64'),
    case when p_recipient is null then now() else now() + p_lifetime end
  );
end
$$;
comment on function private.queue_mail(text, text, uuid, text, interval) is
  'Queues a sealed mail (base64), which is sent within its lifetime or not at all; one of the same kind about the same subject is replaced, except notices. Does nothing where it is null.';

-- The limit is kept by a digest, as that of links.
create or replace function private.queue_notice(p_user_id uuid, p_email text, p_sealed text)
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  if p_sealed is null then
    return;
  end if;
  if private.count_attempt(
    'mail:notice', encode(private.identity_digest('email ' || p_email), 'hex'), 20, interval '1 hour'
  ) is null then
    perform private.queue_mail('notice', p_email, p_user_id, p_sealed, interval '24 hours');
  end if;
end
$$;
comment on function private.queue_notice(uuid, text, text) is
  'Queues a sealed notice (base64) to the owner of an account; at most 20 an hour to one address, those beyond are left out.';

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

create or replace function private.remove_account(p_user_id uuid)
returns text
language plpgsql volatile set search_path = ''
as $$
declare
  v_name text := 'user:' || p_user_id;
  v_email text := (select u.email from public.users u where u.id = p_user_id);
  v_returned bigint;
begin
  -- The long part first, while nobody waits for it; and once more for what a device records meanwhile.
  perform private.take_name_out_of_usage(p_user_id);
  update public.usage_events set url = null where subject_id = p_user_id and url is not null;
  perform private.forget_devices(p_user_id, v_name);
  perform private.take_name_out_of_usage(p_user_id);

  -- Only now, as everybody who registers waits for the pool.
  v_returned := private.close_balance(p_user_id, v_name);

  delete from private.idempotency_keys where subject_id = p_user_id;
  delete from private.known_addresses where account = v_name;
  delete from private.password_resets where email = v_email;
  delete from private.email_verifications where email = v_email;
  perform private.drop_mails(p_user_id, v_email);
  delete from private.login_attempts where key in (p_user_id::text, v_email) or starts_with(key, p_user_id || ' ');
  -- Credentials, sessions, keys, identities and all else that is secret or personal references this row and is deleted with it.
  -- What another capability keeps elsewhere is removed here; a subscription is cancelled with its provider before.
  delete from public.users where id = p_user_id;
  -- Without the request id, which is the caller's own word: nothing personal may get into the audit log.
  perform private.audit(v_name, null, 'delete_account', v_name, null, jsonb_build_object('returned', v_returned));
  return v_email;
end
$$;
comment on function private.remove_account(uuid) is
  'Removes an account with everything personal and returns its address; the caller has locked it and seen that this may be done.';

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

-- The caller holds the account.
create or replace function private.request_email_change(
  p_caller jsonb, p_email text, p_token_hash text, p_mail text, p_notice text
)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_user_id uuid := (p_caller ->> 'id')::uuid;
  v_wait integer;
begin
  perform private.require_fresh(p_caller);
  if p_token_hash is null then
    raise sqlstate 'PT503' using message = 'MAIL_DISABLED';
  end if;
  delete from private.email_changes c where c.user_id = v_user_id;
  delete from private.mails m where m.subject_id = v_user_id and m.kind = 'email_change';
  -- Who asks for the address they have, wants to keep it.
  if exists (select from public.users u where u.id = v_user_id and u.email = p_email) then
    return;
  end if;
  if exists (select from public.users u where u.email = p_email) then
    raise sqlstate 'PT409' using message = 'EMAIL_TAKEN';
  end if;
  v_wait := greatest(
    private.count_attempt('email:change', v_user_id::text, 5, interval '1 hour'), private.mail_wait('mail:link', p_email)
  );
  if v_wait is not null then
    raise sqlstate 'PT429' using message = 'RATE_LIMITED', detail = jsonb_build_object('retry_after', v_wait)::text;
  end if;
  insert into private.email_changes (user_id, email, token_hash, expires_at)
  values (v_user_id, p_email, decode(p_token_hash, 'hex'), now() + interval '24 hours');
  perform private.queue_mail('email_change', p_email, v_user_id, p_mail, interval '24 hours');
  perform private.queue_mail('notice', (select u.email from public.users u where u.id = v_user_id), v_user_id, p_notice, interval '24 hours');
end
$$;
comment on function private.request_email_change(jsonb, text, text, text, text) is
  'Makes this token (SHA-256, hex) the one that gives the account another address, for 24 hours; at most 5 an hour, and 3 in 15 minutes to one address. Queues the sealed mail to the new address and the notice to the present one. Raises EMAIL_TAKEN, PROOF_REQUIRED, RATE_LIMITED, and MAIL_DISABLED without a token.';

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

-- Only the first settlement counts: one that is sent again finds the hold closed, and gets the same answer.
create or replace function private.settle_generation(
  p_generation public.generations, p_hold public.reservations, p_item jsonb, p_has_pool boolean,
  out answer jsonb, out generation public.generations, out hold public.reservations, out event public.usage_events
)
language plpgsql volatile set search_path = ''
as $$
declare
  v_input constant bigint := p_item ->> 'input_tokens';
  v_output constant bigint := p_item ->> 'output_tokens';
  v_nano_usd constant bigint := p_item ->> 'nano_usd';
  v_provenance constant text := p_item ->> 'provenance';
  v_closed record;
begin
  p_generation.provider := coalesce(p_item ->> 'provider', p_generation.provider);
  p_generation.upstream_id := coalesce(p_item ->> 'upstream_id', p_generation.upstream_id);
  p_generation.input_floor := coalesce((p_item ->> 'input_floor')::bigint, p_generation.input_floor);
  p_generation.output_floor := coalesce((p_item ->> 'output_floor')::bigint, p_generation.output_floor);

  if p_hold.status = 'held' then
    if v_input + v_output > 0 then
      v_closed := private.close_generation(
        p_generation, p_hold, 'settled', v_provenance, v_input, v_output, v_nano_usd
      );
    else
      -- What was not billed may be asked for again with the same key.
      delete from private.idempotency_keys k
       where k.subject_id = p_generation.subject_id and k.answer = jsonb_build_object('hold', p_generation.id);
      v_closed := private.close_generation(p_generation, p_hold, 'released', null, 0, 0, null);
    end if;
    generation := v_closed.generation;
    hold := v_closed.hold;
    event := v_closed.event;
    answer := jsonb_build_object(
      'tokens_used', private.weighted_tokens(generation, v_input, v_output), 'remaining', v_closed.remaining
    );
    return;
  end if;

  if p_hold.status = 'lost' and p_generation.provenance = 'estimated'
    and exists (select from public.users u where u.id = p_generation.subject_id) then
    -- A server that was out of reach for long knows what its stream came to; what it was settled at is an estimate.
    if not p_has_pool then
      raise sqlstate '40001' using message = 'a hold was given up for lost at the same time';
    end if;
    p_generation.reconcile_at := case
      when v_provenance = 'estimated' and p_generation.upstream_id is not null then now()
    end;
    perform private.change_settlement(
      p_generation, v_provenance, v_input, v_output, v_nano_usd, 'system:late_settlement'
    );
    update public.reservations r set status = 'settled' where r.id = p_hold.id;
  end if;
  select jsonb_build_object(
           'tokens_used', private.weighted_tokens(g, g.input_tokens, g.output_tokens),
           'remaining', b.remaining
         )
    into strict answer
    from public.generations g join public.balances b on b.subject_id = g.subject_id
   where g.id = p_generation.id;
end
$$;
comment on function private.settle_generation(public.generations, public.reservations, jsonb, boolean) is
  'Settles a chat request with what it used. Returns the answer {tokens_used, remaining}, and, where this closed its hold, what close_generation does. The balance must be locked by the caller, and the pool, as p_has_pool says, where the hold was given up for lost.';

-- What is not known any more is settled at what was noted of it, and a little more, as something may have come since the
-- last note: a running stream is noted every 512 tokens, so that with half of them neither side is out by more than the
-- other half. Answers that come whole are not noted, and upstream finishes and bills them whatever happens here: they
-- are settled at the whole hold. So is what runs still, when its account ends.
create or replace function private.settle_lost_generations(
  p_subjects uuid[], p_expired_by timestamptz, p_except uuid[] default '{}'
)
returns integer
language plpgsql volatile set search_path = ''
as $$
declare
  v_allowance constant bigint := 256;
  v_lost record;
  v_closed record;
  v_seen bigint;
  v_held numeric;
  v_output bigint;
  v_generations public.generations[] := '{}';
  v_holds public.reservations[] := '{}';
  v_events public.usage_events[] := '{}';
begin
  for v_lost in
    select g as generation, r as hold
      from public.reservations r join public.generations g on g.id = r.id
     where r.subject_id = any (p_subjects) and r.status = 'held' and r.expires_at <= p_expired_by
       and r.id <> all (p_except)
     order by r.id
  loop
    v_seen := coalesce((v_lost.generation).output_seen, 0);
    v_held := (v_lost.hold).amount - (v_lost.generation).input_estimate * (v_lost.generation).input_weight;
    v_output := case
      when (v_lost.generation).streamed and (v_lost.hold).expires_at <= now()
        then private.affordable_tokens(v_seen + v_allowance, v_held, (v_lost.generation).output_weight)
      when (v_lost.generation).output_weight > 0 then floor(v_held / (v_lost.generation).output_weight)
      else 0
    end;
    v_closed := private.close_generation(
      v_lost.generation, v_lost.hold, 'lost', 'estimated',
      coalesce((v_lost.generation).input_seen, (v_lost.generation).input_estimate), greatest(v_output, v_seen), null
    );
    v_generations := v_generations || v_closed.generation;
    v_holds := v_holds || v_closed.hold;
    if (v_closed.event).id is not null then
      v_events := v_events || v_closed.event;
    end if;
  end loop;
  if cardinality(v_holds) > 0 then
    perform private.write_closed_generations(v_generations, v_holds, v_events);
  end if;
  return cardinality(v_holds);
end
$$;
comment on function private.settle_lost_generations(uuid[], timestamptz, uuid[]) is
  'Settles generations whose server went away, except those given: streams at what was noted of them and up to 256 tokens more, answers that come whole, and what runs still, at their holds. Returns how many. The balances must be locked by the caller.';

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

create or replace function private.user_json(p_user public.users)
returns jsonb
language sql stable set search_path = ''
as $$
  select jsonb_build_object(
    'id', p_user.id, 'email', p_user.email, 'name', private.display_name(p_user), 'picture', p_user.picture,
    'total_tokens', coalesce(b.allocated, 0), 'tokens_used', coalesce(b.used, 0),
    'tokens_left', coalesce(b.remaining, 0),
    'created_at', p_user.created_at, 'updated_at', greatest(p_user.updated_at, b.updated_at)
  ) from (select 1) one left join public.balances b on b.subject_id = p_user.id
$$;
comment on function private.user_json(public.users) is
  'Returns an account with its balance as contract 4 shows it: it has a name, and has changed when its profile or its balance last did.';

create or replace function private.write_closed_generations(
  p_generations public.generations[], p_holds public.reservations[], p_events public.usage_events[]
)
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  update public.reservations r set status = h.status, closed_at = now(), usage_event_id = h.usage_event_id
    from unnest(p_holds) h
   where r.id = h.id;
  update public.generations g
     set provenance = c.provenance, input_tokens = c.input_tokens, output_tokens = c.output_tokens,
         provider = c.provider, upstream_id = c.upstream_id, input_floor = c.input_floor,
         output_floor = c.output_floor, reconcile_at = c.reconcile_at
    from unnest(p_generations) c
   where g.id = c.id;
  if cardinality(p_events) > 0 then
    perform private.record_usage_events(p_events);
  end if;
end
$$;
comment on function private.write_closed_generations(
  public.generations[], public.reservations[], public.usage_events[]
) is 'Writes what close_generation returned, for all of them at once.';

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

create or replace function public.change_password(
  p_caller jsonb, p_password_hash text, p_verified_hash text default null, p_revoke_keys boolean default false,
  p_notice text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes credentials and sessions, which no API role may.
declare
  v_user_id uuid := private.lock_user(p_caller);
begin
  -- Of two changes at once the second finds another hash than the one its current password was checked against.
  if p_verified_hash is null then
    perform private.require_fresh(p_caller);
    insert into private.user_credentials (user_id, password_hash) values (v_user_id, p_password_hash)
    on conflict (user_id) do nothing;
  else
    update private.user_credentials set password_hash = p_password_hash, updated_at = now()
     where user_id = v_user_id and password_hash = p_verified_hash;
  end if;
  if not found then
    raise sqlstate 'PT401' using message = 'INVALID_CREDENTIALS';
  end if;
  delete from private.login_attempts where scope = 'user:password' and key = v_user_id::text;
  delete from private.password_resets where user_id = v_user_id;
  delete from private.mails m where m.subject_id = v_user_id and m.kind = 'password_reset';
  perform private.queue_notice(v_user_id, (select u.email from public.users u where u.id = v_user_id), p_notice);
  return jsonb_build_object(
    'ended', private.end_sessions(v_user_id, (p_caller ->> 'session_id')::uuid),
    'api_keys', private.keys_after_password(v_user_id, p_revoke_keys)
  );
end
$$;
grant execute on function public.change_password(jsonb, text, text, boolean, text) to service_role;
comment on function public.change_password(jsonb, text, text, boolean, text) is
  'Sets the password where it still is the verified one, or the first one where none was verified, and ends every other session, mailed links and, where wished, the API keys; the sealed notice to the owner is queued. Returns {ended, api_keys}: those that go on; raises INVALID_CREDENTIALS, and PROOF_REQUIRED for the first one.';

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

-- A server that dies with a mail in its hands leaves it due a minute later, which is longer than an attempt takes.
create or replace function public.claim_mails(p_limit integer)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: reads and writes private.mails, which no API role may.
declare
  v_expired jsonb;
  v_mails jsonb;
begin
  with gone as (
    delete from private.mails
     where id in (select m.id from private.mails m where m.expires_at <= now() for update skip locked)
    returning kind, recipient
  )
  select coalesce(jsonb_agg(kind order by kind) filter (where recipient is not null), '[]') into v_expired from gone;

  with due as (
    select m.id from private.mails m where m.due_at <= now() and m.recipient is not null
     order by m.due_at, m.id limit p_limit for update skip locked
  ), claimed as (
    update private.mails m set attempts = m.attempts + 1, due_at = now() + interval '1 minute'
      from due where m.id = due.id
    returning m.*
  )
  select coalesce(jsonb_agg(jsonb_build_object(
           'id', c.id, 'kind', c.kind, 'to', c.recipient, 'sealed', encode(c.sealed, 'base64'), 'attempt', c.attempts
         ) order by c.queued_at, c.id), '[]')
    into v_mails from claimed c;

  return jsonb_build_object(
    'mails', v_mails, 'expired', v_expired,
    'next_seconds', (
      select greatest(ceil(extract(epoch from min(m.due_at) - now())), 0)::integer from private.mails m
       where m.recipient is not null having count(*) > 0
    )
  );
end
$$;
grant execute on function public.claim_mails(integer) to service_role;
comment on function public.claim_mails(integer) is
  'Hands out mails that are due to one server, for a minute, and drops those whose time is over. Returns {mails: [{id, kind, to, sealed, attempt}], expired: their kinds, next_seconds: until the next one is due, or null}.';

create or replace function public.create_api_key(
  p_caller jsonb, p_name text, p_prefix text, p_key_hash text, p_scopes text[], p_expires_at text default null,
  p_notice text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: no API role may read private.api_keys.
declare
  v_user_id uuid;
  v_key private.api_keys;
begin
  -- Serialises the creations of one person, so that the limit holds, and waits for whatever is about to end the
  -- calling session: a key made meanwhile would outlive it.
  perform from public.users u where u.id = (p_caller ->> 'id')::uuid for update;
  v_user_id := private.require_user(p_caller);
  if (select count(*) from private.api_keys k where k.user_id = v_user_id) >= 50 then
    raise sqlstate 'PT409' using message = 'API_KEY_LIMIT', detail = '{"limit": 50}';
  end if;
  if p_expires_at::timestamptz <= now() then
    raise sqlstate 'PT400' using message = 'VALIDATION_FAILED';
  end if;
  perform private.count_recorded_act(v_user_id);
  insert into private.api_keys (user_id, name, prefix, key_hash, scopes, expires_at)
  values (
    v_user_id, p_name, p_prefix, decode(p_key_hash, 'hex'), p_scopes,
    -- What a key makes does not outlive it.
    least(p_expires_at::timestamptz, (
      select k.expires_at from private.api_keys k where k.id = (p_caller ->> 'api_key_id')::uuid
    ))
  )
  returning * into v_key;
  perform private.audit(
    'user:' || v_user_id, null, 'create_api_key', 'user:' || v_user_id, null,
    jsonb_build_object('id', v_key.id, 'scopes', v_key.scopes, 'expires_at', v_key.expires_at)
  );
  perform private.queue_notice(v_user_id, (select u.email from public.users u where u.id = v_user_id), p_notice);
  return private.api_key_json(v_key);
exception
  -- Well formed, but there is no such time.
  when data_exception then
    raise sqlstate 'PT400' using message = 'VALIDATION_FAILED';
end
$$;
grant execute on function public.create_api_key(jsonb, text, text, text, text[], text, text) to service_role;
comment on function public.create_api_key(jsonb, text, text, text, text[], text, text) is
  'Keeps a new key''s SHA-256 (hex) and returns the key without it; one made by a key ends with it at the latest. The sealed notice to the owner is queued. Raises API_KEY_LIMIT beyond 50, RATE_LIMITED, VALIDATION_FAILED for an end in the past.';

-- The audit log can never be cleaned, so it does not name the address.
create or replace function public.create_invitation(
  p_actor jsonb, p_code_hash text, p_days integer, p_email text default null, p_tokens bigint default null,
  p_mail text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: writes invitations and mails, which no API role may.
declare
  v_actor text := private.require_admin(p_actor);
  v_invitation private.invitations;
begin
  if exists (select from public.users u where u.email = p_email) then
    raise sqlstate 'PT409' using message = 'EMAIL_TAKEN';
  end if;
  insert into private.invitations (code_hash, email, tokens, created_by, expires_at)
  values (decode(p_code_hash, 'hex'), p_email, p_tokens, v_actor, now() + make_interval(days => p_days))
  returning * into v_invitation;
  perform private.audit_admin(
    p_actor, 'create_invitation', 'invitation:' || v_invitation.id, null,
    jsonb_build_object('tokens', p_tokens, 'is_bound', p_email is not null, 'expires_at', v_invitation.expires_at)
  );
  if p_email is not null then
    perform private.queue_mail('invitation', p_email, v_invitation.id, p_mail, make_interval(days => p_days));
  end if;
  return private.invitation_json(v_invitation);
end
$$;
grant execute on function public.create_invitation(jsonb, text, integer, text, bigint, text) to service_role;
comment on function public.create_invitation(jsonb, text, integer, text, bigint, text) is
  'Keeps an invitation by the SHA-256 (hex) of its code, for some days; with an address it is good for that one only, and the sealed mail to it is queued. Returns it; raises EMAIL_TAKEN.';

create or replace function public.delete_account(p_caller jsonb, p_notice text default null)
returns jsonb
language plpgsql volatile security definer set search_path = '' set statement_timeout = '15min'
as $$
-- Definer: removes what no API role may write.
declare
  v_user_id uuid := (p_caller ->> 'id')::uuid;
begin
  -- Whatever adds a row to the account waits for this and then finds nobody; and this waits for whoever takes the
  -- account over, before it checks the caller's session.
  perform from public.users u where u.id = v_user_id for update;
  perform private.require_user(p_caller);
  perform private.require_fresh(p_caller);
  -- Behind the removal, which drops whatever waits for the address.
  perform private.queue_notice(v_user_id, private.remove_account(v_user_id), p_notice);
  return jsonb_build_object('deleted', true);
end
$$;
grant execute on function public.delete_account(jsonb, text) to service_role;
comment on function public.delete_account(jsonb, text) is
  'Removes the caller''s account with everything personal; its anonymous usage and ledger stay, its unused tokens return to the pool. The sealed notice to its owner is queued. Returns {deleted}; raises PROOF_REQUIRED.';

create or replace function public.delete_invitation(p_actor jsonb, p_id uuid)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes invitations, which no API role may.
begin
  perform private.require_admin(p_actor);
  delete from private.invitations where id = p_id;
  if not found then
    raise sqlstate 'PT404' using message = 'INVITATION_NOT_FOUND';
  end if;
  perform private.drop_mails(p_id);
  perform private.audit_admin(p_actor, 'delete_invitation', 'invitation:' || p_id);
  return jsonb_build_object('deleted', true);
end
$$;
grant execute on function public.delete_invitation(jsonb, uuid) to service_role;
comment on function public.delete_invitation(jsonb, uuid) is
  'Removes an invitation, which nobody can redeem any more; an account made with it stays. Returns {deleted}; raises INVITATION_NOT_FOUND.';

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

create or replace function public.finish_user_login(
  p_user_id uuid, p_changed_at text, p_address text, p_session jsonb, p_rehashed text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes sessions and counters, which no API role may.
begin
  -- The password that was checked must still be the account's; the lock lets no change slip between. A hash brought up to
  -- date by another log-in at the same time is of the same password, and leaves the time of its change as it is.
  perform from private.user_credentials c
   where c.user_id = p_user_id and c.updated_at = p_changed_at::timestamptz
     for update;
  if not found then
    raise sqlstate 'PT401' using message = 'INVALID_CREDENTIALS';
  end if;
  update private.user_credentials set password_hash = p_rehashed where user_id = p_user_id and p_rehashed is not null;
  return private.open_session(p_user_id, p_session || jsonb_build_object('network', p_address));
end
$$;
grant execute on function public.finish_user_login(uuid, text, text, jsonb, text) to service_role;
comment on function public.finish_user_login(uuid, text, text, jsonb, text) is
  'After the right password: opens a session, if the password was not changed since, and keeps a hash of it made with today''s pepper, where one is given. Returns {session_id, user}; raises INVALID_CREDENTIALS, ACCOUNT_SUSPENDED.';

create or replace function public.get_mail_queue(p_actor jsonb)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: reads private.mails, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  return (
    select jsonb_build_object(
             'waiting', coalesce(sum(k.waiting), 0), 'failing', coalesce(sum(k.failing), 0),
             'oldest_at', min(k.oldest_at), 'next_attempt_at', min(k.next_at),
             'kinds', coalesce(jsonb_object_agg(k.kind, k.waiting), '{}')
           )
      from (
        select m.kind, count(*) as waiting, count(*) filter (where m.attempts > 1) as failing,
               min(m.queued_at) as oldest_at, min(m.due_at) as next_at
          from private.mails m
         where m.recipient is not null and m.expires_at > now()
         group by m.kind
      ) k
  );
end
$$;
grant execute on function public.get_mail_queue(jsonb) to service_role;
comment on function public.get_mail_queue(jsonb) is
  'Returns {waiting, failing, oldest_at, next_attempt_at, kinds}: how many mails wait to be sent, how many were tried more than once, since when, and how many of each kind; no address.';

create or replace function public.get_purchase(p_user_id uuid, p_subscription_id text)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: whoever has the id of a payment page that was paid sees what was bought on it, without a session.
begin
  return jsonb_build_object('bought', (
    select jsonb_build_object(
             'tier', g.tier, 'period_start', g.period_start, 'period_end', g.period_end,
             'tokens_granted', g.granted_tokens
           )
      from public.subscription_grants g
     where g.user_id = p_user_id and g.stripe_subscription_id = p_subscription_id
     order by g.created_at, g.id
     limit 1
  ));
end
$$;
grant execute on function public.get_purchase(uuid, text) to service_role;
comment on function public.get_purchase(uuid, text) is
  'Returns what the first payment of a subscription bought: {bought: {tier, period_start, period_end, tokens_granted}}, null before it has arrived here.';

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

create or replace function public.log_out(p_caller jsonb default null, p_all boolean default false, p_token_hash text default null)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: no API role may read sessions and their tokens.
declare
  v_session private.sessions;
  v_user_id uuid;
  v_session_id uuid;
  v_ended integer;
begin
  -- A refresh token that was exchanged ends its session as well: sent to be exchanged again, it would.
  select s.* into v_session
    from private.refresh_tokens t join private.sessions s on s.id = t.session_id
   where t.token_hash = decode(p_token_hash, 'hex');
  -- A bearer whose session is over keeps nobody from ending the other one.
  if p_caller is not null and (v_session.id is null or private.credential_problem(
       (p_caller ->> 'id')::uuid, (p_caller ->> 'session_id')::uuid, (p_caller ->> 'api_key_id')::uuid, 'account'
     ) is null) then
    v_user_id := private.require_user(p_caller);
    v_session_id := (p_caller ->> 'session_id')::uuid;
  end if;

  if p_all then
    select coalesce(sum(private.end_sessions(a.user_id)), 0) into v_ended
      from (select distinct u.id from unnest(array[v_user_id, v_session.user_id]) as u (id) where u.id is not null) as a (user_id);
  elsif v_user_id is not null and v_session_id is null and v_session.id is null then
    raise sqlstate 'PT400' using message = 'NO_SESSION';
  else
    delete from private.sessions s where s.id in (v_session_id, v_session.id);
    get diagnostics v_ended = row_count;
  end if;
  return jsonb_build_object('ended', v_ended);
end
$$;
grant execute on function public.log_out(jsonb, boolean, text) to service_role;
comment on function public.log_out(jsonb, boolean, text) is
  'Ends the session of the caller and that of a refresh token (as SHA-256 in hex), of which one may be null, or all sessions of their accounts. Returns {ended}; raises NO_SESSION for an API key alone.';

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

create or replace function public.meter_chat(p_items jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = '' set plan_cache_mode = 'force_generic_plan'
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
  v_settled record;
  v_answers jsonb[] := array_fill(null::jsonb, array[v_count]);
  v_new_holds public.reservations[] := '{}';
  v_new_generations public.generations[] := '{}';
  v_closed_ids uuid[] := '{}';
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

    -- Another item about a hold that was just closed has to find it so.
    if v_hold = any (v_closed_ids) then
      perform private.write_closed_generations(v_closed_generations, v_closed_holds, v_events);
      v_closed_ids := '{}';
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
      v_answers[v_at] := private.extend_generation(v_running.generation, v_running.hold, v_item);
    elsif v_op = 'settle' then
      v_settled := private.settle_generation(v_running.generation, v_running.hold, v_item, v_has_late);
      v_answers[v_at] := v_settled.answer;
      if (v_settled.hold).id is not null then
        v_closed_ids := v_closed_ids || v_hold;
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
  if cardinality(v_closed_ids) > 0 then
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

create or replace function public.record_features(p_items jsonb, p_retention_months integer)
returns jsonb
language plpgsql volatile security definer set search_path = '' set plan_cache_mode = 'force_generic_plan' set enable_seqscan = off
as $$
-- Definer: the only writer of feature events and their rollups.
declare
  v_answers jsonb;
begin
  perform private.hold_users(p_items);
  -- Those of devices are counted for the person they are linked to.
  perform private.hold_users((
    select jsonb_agg(jsonb_build_object('id', d.user_id))
      from jsonb_to_recordset(p_items) as r(device_id uuid) join public.devices d on d.id = r.device_id
     where d.user_id is not null
  ));
  with item as materialized (
    select r.ord, coalesce(r.id, d.user_id) as user_id, r.device_id, r.name, r.properties, gen_random_uuid() as event_id,
           coalesce(timestamptz 'epoch' + r.timestamp_ms * interval '1 millisecond', now()) as occurred_at,
           case
             when r.device_id is null then private.credential_problem(r.id, r.session_id, r.api_key_id, 'usage:write')
             when d.id is null or d.token_version is distinct from r.token_version then 'INVALID_TOKEN'
             when d.blocked then 'DEVICE_BLOCKED'
             when o.suspended_at is not null then 'ACCOUNT_SUSPENDED'
           end as problem
      from rows from (
        jsonb_to_recordset(p_items) as (
          id uuid, session_id uuid, api_key_id uuid, device_id uuid, token_version integer, name text, properties jsonb,
          timestamp_ms bigint
        )
      ) with ordinality as r(id, session_id, api_key_id, device_id, token_version, name, properties, timestamp_ms, ord)
      left join public.devices d on d.id = r.device_id
      left join public.users o on o.id = d.user_id
  ),
  judged as materialized (
    select i.*, case
        when i.problem is not null then i.problem
        when i.occurred_at > now() + interval '5 minutes'
          or i.occurred_at < private.usage_horizon(p_retention_months) then 'TIMESTAMP_OUT_OF_RANGE'
      end as code
      from item i
  ),
  -- A client that runs wild fills a day, not the disk: refused ones count as well, and those of a person's devices are theirs.
  demand as (
    select coalesce(j.user_id, j.device_id)::text as subject, count(*) as uses from judged j where j.code is null group by 1
  ),
  spent as (
    insert into private.login_attempts as a (scope, key, attempts, window_ends_at)
    select 'events', d.subject, d.uses, now() + interval '1 day' from demand d order by d.subject
    on conflict (scope, key) do update
      set attempts = case when a.window_ends_at <= now() then 0 else a.attempts end + excluded.attempts,
          window_ends_at = case when a.window_ends_at <= now() then excluded.window_ends_at else a.window_ends_at end
    returning a.key, a.attempts, a.window_ends_at
  ),
  admitted as materialized (
    select j.*, s.window_ends_at,
           date_bin('15 minutes', j.occurred_at, 'epoch') as bucket, date_trunc('day', j.occurred_at, 'UTC') as day,
           j.code is null and s.attempts - d.uses
             + row_number() over (partition by coalesce(j.user_id, j.device_id), j.code is null order by j.ord) <= 5000 as fits
      from judged j
      left join demand d on d.subject = coalesce(j.user_id, j.device_id)::text
      left join spent s on s.key = d.subject
  ),
  recorded as (
    insert into public.feature_events (id, user_id, name, properties, occurred_at, device_id)
    select a.event_id, a.user_id, a.name, a.properties, a.occurred_at, a.device_id from admitted a where a.fits
  ),
  -- Rollups stay, and each name is a row of every summary: only so many of a person and day are kept apart. Calls at the
  -- same moment may each add theirs. Nearly always no name is new.
  fresh as (
    select a.user_id, a.day, a.name, min(a.ord) as ord
      from admitted a
     where a.fits and a.user_id is not null
       and not exists (
         select from public.feature_rollups r where r.user_id = a.user_id and r.bucket = a.bucket and r.name = a.name
       )
     group by 1, 2, 3
  ),
  known as materialized (
    select distinct f.user_id, f.day, r.name
      from (select distinct f.user_id, f.day from fresh f) f
      join public.feature_rollups r
        on r.user_id = f.user_id and r.bucket >= f.day and r.bucket < f.day + interval '24 hours'
  ),
  ranked as (
    select f.user_id, f.day, f.name, row_number() over (partition by f.user_id, f.day order by f.ord) as nth
      from fresh f
     where not exists (select from known k where k.user_id = f.user_id and k.day = f.day and k.name = f.name)
  ),
  folded as materialized (
    select r.user_id, r.day, r.name
      from ranked r
     where r.nth + (select count(*) from known k where k.user_id = r.user_id and k.day = r.day) > 100
  ),
  counted as (
    insert into public.feature_rollups as r (user_id, bucket, name, events)
    select a.user_id, a.bucket, case when f.name is null then a.name else 'other' end, count(*)
      from admitted a
      left join folded f on f.user_id = a.user_id and f.day = a.day and f.name = a.name
     where a.fits and a.user_id is not null
     group by 1, 2, 3
     order by 1, 2, 3
    on conflict (user_id, bucket, name) do update set events = r.events + excluded.events
  )
  select jsonb_agg(
           case
             when a.fits then jsonb_build_object('id', a.event_id, 'recorded', true)
             when a.code is not null then jsonb_build_object('code', a.code)
             else jsonb_build_object(
               'code', 'RATE_LIMITED', 'limit', 'events',
               'retry_after', ceil(extract(epoch from a.window_ends_at - now()))::integer
             )
           end
           order by a.ord
         )
    into v_answers
    from admitted a;
  return v_answers;
end
$$;
grant execute on function public.record_features(jsonb, integer) to service_role;
comment on function public.record_features(jsonb, integer) is
  'Records uses of features, at most 5,000 a day of a person or a device that is nobody''s; of a person and day 100 names are counted apart, further ones as other. Takes an array of {id, session_id | api_key_id, name, properties, timestamp_ms}, with {device_id, token_version} in place of the person''s where a device sends it, returns an array in the same order: {id, recorded}, or {code}.';

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
           i.output_tokens, i.timestamp_ms, i.url, i.key, i.ord
      from rows from (
        jsonb_to_recordset(p_items) as (
          id uuid, session_id uuid, api_key_id uuid, provider text, model text, input_tokens bigint,
          output_tokens bigint, timestamp_ms bigint, url text, key text
        )
      ) with ordinality as i(
        id, session_id, api_key_id, provider, model, input_tokens, output_tokens, timestamp_ms, url, key, ord
      )
     order by i.ord
  loop
    v_answer := jsonb_build_object(
      'code', private.credential_problem(v_item.user_id, v_item.session_id, v_item.api_key_id, 'usage:write')
    );
    if v_answer ->> 'code' is not null then
      v_answers[v_item.ord] := v_answer;
      continue;
    end if;

    -- It has no time, or the clock of whoever sent it is ahead by hours: it happened now.
    v_at_ms := case
      when v_item.timestamp_ms is null then v_now_ms
      when v_item.timestamp_ms between v_now_ms + 300001 and v_now_ms + 86400000 then v_now_ms
      else v_item.timestamp_ms
    end;
    v_item.url := private.plain_url(v_item.url);
    v_content := jsonb_build_array(
      v_item.provider, v_item.model, v_item.timestamp_ms, v_item.input_tokens, v_item.output_tokens, v_item.url
    );
    -- With neither a time nor a key, nothing tells an event sent again from another one that is like it.
    if v_item.timestamp_ms is null and v_item.key is null then
      v_content := v_content || to_jsonb(gen_random_uuid());
    end if;

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
  'Records what extensions observed. Takes an array of {id, session_id | api_key_id, provider, model, input_tokens, output_tokens, timestamp_ms, url, key}, returns an array in the same order: {id, recorded, duplicate}, with adjusted where a clock was ahead and summary_only where the event is too old to be kept, or {code} where the event was refused. Without timestamp_ms it happened now.';

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
    'remaining', v_balance.remaining
  ) || case when v_user_id is null then '{}'::jsonb else '{"linked": true}' end;
end
$$;
grant execute on function public.register_device(text, text, bigint, jsonb, text, jsonb) to service_role;
comment on function public.register_device(text, text, bigint, jsonb, text, jsonb) is
  'Registers a device or finds it again by its owner and fingerprint, and links it to the caller. Takes the secret''s SHA-256 in hex, and {id, version} of a verified token of the device. Returns {device_id, token_version, created, allocated, remaining}, with a caller also linked; raises DEVICE_BLOCKED, DEVICE_SECRET_INVALID, and DEVICE_LIMIT where the caller''s tier has no room for another.';

create or replace function public.register_user(
  p_email text, p_password_hash text, p_default_tokens bigint, p_sign_up text, p_session jsonb,
  p_name text default null, p_invitation_hash text default null, p_verification_hash text default null,
  p_mail text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes users, credentials, balances and sessions, which no API role may.
declare
  v_user public.users;
begin
  if p_sign_up = 'closed' then
    raise sqlstate 'PT403' using message = 'SIGNUP_CLOSED';
  elsif p_sign_up = 'invite' and p_invitation_hash is null then
    raise sqlstate 'PT403' using message = 'INVITATION_REQUIRED';
  end if;
  v_user := private.create_account(p_email, p_name, null);
  if v_user.id is null then
    raise sqlstate 'PT409' using message = 'EMAIL_TAKEN';
  end if;
  insert into private.user_credentials (user_id, password_hash) values (v_user.id, p_password_hash);
  if p_invitation_hash is not null then
    perform private.redeem_invitation(v_user, p_invitation_hash);
  end if;
  select u.* into v_user from public.users u where u.id = v_user.id;
  if p_sign_up = 'open' or v_user.email_verified_at is not null then
    perform private.grant_default_tokens(v_user.id, p_default_tokens, 'system:registration');
  end if;
  if v_user.email_verified_at is null and p_verification_hash is not null
     and private.mail_wait('mail:link', p_email) is null
  then
    perform private.keep_verification(p_email, v_user.id, p_verification_hash);
    perform private.queue_mail('email_verification', p_email, v_user.id, p_mail, interval '24 hours');
  end if;
  return private.open_session(v_user.id, p_session - 'network');
end
$$;
grant execute on function public.register_user(text, text, bigint, text, jsonb, text, text, text, text) to service_role;
comment on function public.register_user(text, text, bigint, text, jsonb, text, text, text, text) is
  'Creates an account with a password where p_sign_up (open, verified, invite, closed) or an invitation lets it, and logs it in; its default tokens come at once where sign-up is open, else with the proof of the address. The sealed mail with the link is queued, at most 3 in 15 minutes to one address. Returns {session_id, user}; raises SIGNUP_CLOSED, INVITATION_REQUIRED, INVITATION_INVALID, EMAIL_TAKEN.';

create or replace function public.request_email_verification(p_email text, p_token_hash text, p_mail text)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes links, mails and counters, which no API role may.
declare
  v_user_id uuid;
begin
  -- Past the limit the link mailed before stays good: a stranger who keeps asking cannot take it from its owner.
  if private.mail_wait('mail:verification', p_email) is not null then
    return jsonb_build_object('asked', true);
  end if;
  -- The account before its link, as where the account is deleted.
  select u.id into v_user_id from public.users u where u.email = p_email and u.email_verified_at is null for key share;
  perform private.keep_verification(p_email, v_user_id, p_token_hash);
  perform private.queue_mail('email_verification', case when v_user_id is not null then p_email end, v_user_id, p_mail, interval '24 hours');
  return jsonb_build_object('asked', true);
end
$$;
grant execute on function public.request_email_verification(text, text, text) to service_role;
comment on function public.request_email_verification(text, text, text) is
  'Makes this token (SHA-256, hex) the address''s only one for 24 hours; at most 3 in 15 minutes. Queues the sealed mail where an account waits for it, and returns the same either way.';

create or replace function public.request_password_reset(p_email text, p_token_hash text, p_mail text)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes links, mails and counters, which no API role may.
declare
  v_user_id uuid;
begin
  -- Past the limit the link mailed before stays good: a stranger who keeps asking cannot take it from its owner.
  if private.mail_wait('mail:reset', p_email) is not null then
    return jsonb_build_object('asked', true);
  end if;
  -- The account before its link, as where the account is deleted.
  select u.id into v_user_id from public.users u where u.email = p_email for key share;
  insert into private.password_resets as r (email, user_id, token_hash, requested_at, expires_at)
  values (p_email, v_user_id, decode(p_token_hash, 'hex'), now(), now() + interval '30 minutes')
  on conflict (email) do update
    set user_id = excluded.user_id, token_hash = excluded.token_hash,
        requested_at = excluded.requested_at, expires_at = excluded.expires_at;
  perform private.queue_mail('password_reset', case when v_user_id is not null then p_email end, v_user_id, p_mail, interval '30 minutes');
  return jsonb_build_object('asked', true);
end
$$;
grant execute on function public.request_password_reset(text, text, text) to service_role;
comment on function public.request_password_reset(text, text, text) is
  'Makes this token (SHA-256, hex) the address''s only one for 30 minutes; at most 3 in 15 minutes. Queues the sealed mail where there is an account, and returns the same either way.';

create or replace function public.request_proof_code(p_caller jsonb, p_code_hash text, p_mail text)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes codes, mails and counters, which no API role may. Returns a refusal instead of raising it, so that it is counted.
declare
  v_user_id uuid := private.lock_user(p_caller);
  v_wait integer := private.count_attempt('proof:account', v_user_id::text, 3, interval '15 minutes');
begin
  if not p_caller ? 'session_id' then
    raise sqlstate 'PT400' using message = 'NO_SESSION';
  elsif v_wait is not null then
    return jsonb_build_object('allowed', false, 'retry_after', v_wait);
  end if;
  insert into private.proof_codes as c (session_id, code_hash, expires_at)
  values ((p_caller ->> 'session_id')::uuid, decode(p_code_hash, 'hex'), now() + interval '5 minutes')
  on conflict (session_id) do update set code_hash = excluded.code_hash, expires_at = excluded.expires_at;
  perform private.queue_mail(
    'proof_code', (select u.email from public.users u where u.id = v_user_id), (p_caller ->> 'session_id')::uuid, p_mail, interval '5 minutes'
  );
  return jsonb_build_object('allowed', true);
end
$$;
grant execute on function public.request_proof_code(jsonb, text, text) to service_role;
comment on function public.request_proof_code(jsonb, text, text) is
  'Makes this code (HMAC, hex) the one that proves the calling session for 5 minutes; at most 3 in 15 minutes. Queues the sealed mail with it. Returns {allowed} or {allowed, retry_after}; raises NO_SESSION.';

create or replace function public.reset_password(
  p_token_hash text, p_password_hash text, p_default_tokens bigint, p_revoke_keys boolean default false,
  p_notice text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: reads and writes credentials, which no API role may.
declare
  v_hash bytea := decode(p_token_hash, 'hex');
  v_user_id uuid;
  v_email text;
begin
  select r.user_id into v_user_id from private.password_resets r where r.token_hash = v_hash;
  -- The account before its link, as where the account is deleted.
  perform from public.users u where u.id = v_user_id for no key update;
  delete from private.password_resets r
   where r.token_hash = v_hash and r.user_id = v_user_id and r.expires_at > now();
  if not found then
    raise sqlstate 'PT400' using message = 'INVALID_RESET_TOKEN';
  end if;
  -- Whoever followed the link reads the address's mail. What others may have left in the account before that goes
  -- first, so that the new password stays.
  perform private.prove_email(v_user_id);
  insert into private.user_credentials as c (user_id, password_hash) values (v_user_id, p_password_hash)
  on conflict (user_id) do update set password_hash = excluded.password_hash, updated_at = now();
  perform private.end_sessions(v_user_id);
  perform private.grant_default_tokens(v_user_id, p_default_tokens, 'system:verification');
  select u.email into strict v_email from public.users u where u.id = v_user_id;
  perform private.queue_notice(v_user_id, v_email, p_notice);
  return jsonb_build_object(
    'api_keys', private.keys_after_password(v_user_id, p_revoke_keys)
  );
end
$$;
grant execute on function public.reset_password(text, text, bigint, boolean, text) to service_role;
comment on function public.reset_password(text, text, bigint, boolean, text) is
  'Uses up the token (SHA-256, hex): proves the address, which pays the default tokens where they were not, sets the password (argon2id hash) and ends every session and, where wished, the API keys; the sealed notice to the owner is queued. Returns {api_keys}: those that go on; raises INVALID_RESET_TOKEN for one that is unknown, used, expired or not the newest.';

-- An outcome counts only for the attempt that is the latest: another server may have taken the mail over meanwhile.
create or replace function public.settle_mail(p_id uuid, p_attempt integer, p_outcome text, p_wait_seconds integer default null)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes private.mails, which no API role may.
begin
  if p_outcome in ('sent', 'refused') then
    delete from private.mails m where m.id = p_id and m.attempts = p_attempt;
  elsif p_outcome = 'released' then
    update private.mails m set due_at = now(), attempts = m.attempts - 1 where m.id = p_id and m.attempts = p_attempt;
  else
    -- 2, 4, 8 … seconds, 10 minutes at most, and never all at the same moment.
    update private.mails m
       set due_at = now() + greatest(
             least(power(2, least(p_attempt, 10)), 600) * (0.75 + random() / 2), least(coalesce(p_wait_seconds, 0), 3600)
           ) * interval '1 second'
     where m.id = p_id and m.attempts = p_attempt;
  end if;
  return jsonb_build_object('settled', found);
end
$$;
grant execute on function public.settle_mail(uuid, integer, text, integer) to service_role;
comment on function public.settle_mail(uuid, integer, text, integer) is
  'Ends an attempt: sent and refused mails are removed, released ones are due at once, failed ones later and later, after p_wait_seconds at the earliest. Returns {settled}: whether the attempt was still the latest.';

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

create or replace function public.summarize_all_features(
  p_actor jsonb, p_from text, p_to text, p_time_zone text, p_by_day boolean, p_name text default null
)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: an admin may ask about everybody, which no API role may.
declare
  v_range record;
begin
  perform private.require_admin(p_actor, 'viewer');
  select * into v_range from public.usage_range(p_from, p_to, p_time_zone);
  if v_range.range_to > v_range.range_from + interval '93 days' then
    raise sqlstate 'PT400' using message = 'RANGE_NOT_VALID';
  end if;
  return (
    with cell as (
      select case when p_by_day then (e.occurred_at at time zone p_time_zone)::date end as day, e.name,
             count(*) as events, count(distinct e.user_id) as users,
             count(distinct e.device_id) filter (where e.user_id is null) as devices
        from public.feature_events e
       where e.occurred_at >= v_range.range_from and e.occurred_at < v_range.range_to
         and (p_name is null or e.name = p_name)
       group by 1, 2
    ),
    ranked as (
      select c.*, row_number() over (order by c.events desc, c.day, c.name) > 1000 as is_beyond from cell c
    )
    select jsonb_build_object(
      'from', v_range.range_from, 'to', v_range.range_to, 'time_zone', p_time_zone,
      'totals', jsonb_build_object('events', coalesce(sum(r.events), 0)),
      'omitted', jsonb_build_object(
        'rows', count(*) filter (where r.is_beyond), 'events', coalesce(sum(r.events) filter (where r.is_beyond), 0)
      ),
      'series', coalesce(
        jsonb_agg(
          case when p_by_day then jsonb_build_object('day', r.day) else '{}' end
            || jsonb_build_object('name', r.name, 'events', r.events, 'users', r.users, 'devices', r.devices)
          order by r.day, r.events desc, r.name
        ) filter (where not r.is_beyond), '[]'
      ),
      'properties', coalesce(
        public.summarize_feature_properties(v_range.range_from, v_range.range_to, p_name, null), '[]'
      )
    ) from ranked r
  );
end
$$;
grant execute on function public.summarize_all_features(jsonb, text, text, text, boolean, text) to service_role;
comment on function public.summarize_all_features(jsonb, text, text, text, boolean, text) is
  'Returns how often everybody used each feature in a range of at most 93 days, by how many, and what their numbers were: {from, to, time_zone, totals, omitted, series, properties}; of many rows the greatest 1,000. Raises RANGE_NOT_VALID.';

-- Numbers that extensions send as properties, such as milliseconds. What is read and answered is bounded: of many events
-- the newest 200,000, of many pairs of name and property the 200 that occur most.
create or replace function public.summarize_feature_properties(
  p_from timestamptz, p_to timestamptz, p_name text, p_user_id uuid
)
returns jsonb
language sql stable security invoker set search_path = ''
as $$
  with event as (
    select e.name, e.properties from public.feature_events e
     where e.occurred_at >= p_from and e.occurred_at < p_to
       and (p_name is null or e.name = p_name) and (p_user_id is null or e.user_id = p_user_id)
     order by e.occurred_at desc
     limit 200000
  ),
  summary as (
    select e.name, p.key as property, count(*) as count, trim_scale(round(avg(v.value), 6)) as avg,
           percentile_disc(array[0.5, 0.95]) within group (order by v.value) as percentiles,
           min(v.value) as min, max(v.value) as max
      from event e
     cross join lateral jsonb_each(e.properties) p
     cross join lateral (
       select case when jsonb_typeof(p.value) = 'number' then p.value::numeric end as value
     ) v
     where v.value is not null
     group by e.name, p.key
     order by count(*) desc, e.name, p.key
     limit 200
  )
  select jsonb_agg(
           jsonb_build_object(
             'name', s.name, 'property', s.property, 'count', s.count, 'avg', s.avg, 'p50', s.percentiles[1],
             'p95', s.percentiles[2], 'min', s.min, 'max', s.max
           ) order by s.name, s.property
         )
    from summary s
$$;
grant execute on function public.summarize_feature_properties(timestamptz, timestamptz, text, uuid) to authenticated;
comment on function public.summarize_feature_properties(timestamptz, timestamptz, text, uuid) is
  'Returns the numbers among the properties of uses of features, of one account or of all that the caller may read: [{name, property, count, avg, p50, p95, min, max}]; null where there are none.';

create or replace function public.summarize_features(
  p_from text, p_to text, p_time_zone text, p_by_day boolean, p_name text default null
)
returns jsonb
language plpgsql stable set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user('usage:read');
  v_range record;
begin
  select * into v_range from public.usage_range(p_from, p_to, p_time_zone);
  return (
    with cells as (
      select case when p_by_day then (r.bucket at time zone p_time_zone)::date end as day, r.name,
             sum(r.events)::bigint as events
        from public.feature_rollups r
       where r.user_id = v_user_id and r.bucket >= v_range.range_from and r.bucket < v_range.range_to
         and (p_name is null or r.name = p_name)
       group by 1, 2
    )
    select jsonb_build_object(
      'from', v_range.range_from, 'to', v_range.range_to, 'time_zone', p_time_zone,
      'totals', jsonb_build_object('events', coalesce(sum(c.events), 0)),
      'series', coalesce(
        jsonb_agg(
          case when p_by_day then jsonb_build_object('day', c.day) else '{}' end
            || jsonb_build_object('name', c.name, 'events', c.events)
          order by c.day, c.events desc, c.name
        ), '[]'
      ),
      'properties', coalesce(
        public.summarize_feature_properties(v_range.range_from, v_range.range_to, p_name, v_user_id), '[]'
      )
    ) from cells c
  );
end
$$;
grant execute on function public.summarize_features(text, text, text, boolean, text) to authenticated;
comment on function public.summarize_features(text, text, text, boolean, text) is
  'Returns how often the caller used each feature in a range, also per day: {from, to, time_zone, totals, series, properties}. Raises RANGE_NOT_VALID.';

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

create or replace function public.update_profile(
  p_caller jsonb, p_changes jsonb, p_token_hash text default null, p_mail text default null, p_notice text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: writes users, which no API role may.
declare
  v_user_id uuid := private.lock_user(p_caller);
  v_user public.users;
begin
  if p_changes ? 'email' then
    perform private.request_email_change(p_caller, p_changes ->> 'email', p_token_hash, p_mail, p_notice);
  end if;
  update public.users u
     set name = case when p_changes ? 'name' then p_changes ->> 'name' else u.name end,
         picture = case when p_changes ? 'picture' then p_changes ->> 'picture' else u.picture end,
         updated_at = now()
   where u.id = v_user_id
  returning * into v_user;
  return private.profile_json(v_user);
end
$$;
grant execute on function public.update_profile(jsonb, jsonb, text, text, text) to service_role;
comment on function public.update_profile(jsonb, jsonb, text, text, text) is
  'Changes name and picture where {name, picture, email} has them, null to clear; an address waits for the link with this token (SHA-256, hex): the sealed mail with it and the notice to the present address are queued. Returns the profile; raises EMAIL_TAKEN, PROOF_REQUIRED, RATE_LIMITED, and MAIL_DISABLED for an address without a token.';

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

create or replace function public.write_problem()
returns jsonb
language sql stable set search_path = ''
as $$
  select jsonb_build_object('problem', case
    when pg_is_in_recovery() then 'The database is a standby, which takes no writes'
    -- What a transaction begins with, as the one that asks reads only. Supabase sets it where the disk is full.
    when current_setting('default_transaction_read_only')::boolean then 'The database is read-only'
  end)
$$;
grant execute on function public.write_problem() to service_role;
comment on function public.write_problem() is
  'Returns {problem}: why the database takes no writes, as a sentence, or null where it does. The server asks it on /readyz.';

create or replace view contracts.settings with (security_invoker = true) as
  select s.user_id as id, s.user_id, coalesce(v.settings, '{}') as settings, s.last_synced_at, s.created_at,
         s.last_synced_at as updated_at
    from public.settings s
    left join public.settings_versions v on v.user_id = s.user_id and v.version = s.version;
comment on view contracts.settings is 'Contract 5''s table settings: a document an account.';
comment on column contracts.settings.id is 'The account''s id, as an account has one document.';
comment on column contracts.settings.user_id is 'The account.';
comment on column contracts.settings.settings is 'All settings, as one object.';
comment on column contracts.settings.last_synced_at is 'When they last changed.';
comment on column contracts.settings.created_at is 'When the account first had some.';
comment on column contracts.settings.updated_at is 'The same as last_synced_at.';

create or replace view contracts.subscriptions with (security_invoker = true) as
  select s.user_id as id, s.user_id, s.stripe_customer_id, s.stripe_subscription_id,
         public.effective_tier(s) as tier, s.status, s.current_period_end, s.created_at, s.updated_at
    from public.subscriptions s;
comment on view contracts.subscriptions is 'Contract 5''s table subscriptions: one of each account that has, or had, one.';
comment on column contracts.subscriptions.id is 'The account''s id, as an account has one.';
comment on column contracts.subscriptions.user_id is 'The account.';
comment on column contracts.subscriptions.stripe_customer_id is 'Its customer at Stripe.';
comment on column contracts.subscriptions.stripe_subscription_id is 'The subscription at Stripe.';
comment on column contracts.subscriptions.tier is 'free, pro or premium, as it holds now.';
comment on column contracts.subscriptions.status is 'As Stripe calls it, or none.';
comment on column contracts.subscriptions.current_period_end is 'End of the period being billed.';
comment on column contracts.subscriptions.created_at is 'When the row was made.';
comment on column contracts.subscriptions.updated_at is 'When it last changed.';

create or replace view contracts.usage with (security_invoker = true) as
  select e.id, e.user_id, e.provider, e.model, e.input_tokens, e.output_tokens, e.total_tokens,
         (extract(epoch from e.occurred_at) * 1000)::bigint as timestamp, e.url, e.created_at, e.source, e.occurred_at
    from public.usage_events e
   where e.user_id is not null;
comment on view contracts.usage is 'Contract 1''s table usage: what accounts used, a row an event.';
comment on column contracts.usage.id is 'The event''s id.';
comment on column contracts.usage.user_id is 'The account.';
comment on column contracts.usage.provider is 'chatgpt, claude, gemini or another.';
comment on column contracts.usage.model is 'The model.';
comment on column contracts.usage.input_tokens is 'Tokens sent.';
comment on column contracts.usage.output_tokens is 'Tokens received.';
comment on column contracts.usage.total_tokens is 'Tokens altogether.';
comment on column contracts.usage.timestamp is 'When it happened, in milliseconds since 1970.';
comment on column contracts.usage.url is 'The page it happened on.';
comment on column contracts.usage.created_at is 'When it was recorded.';
comment on column contracts.usage.source is 'Which API recorded it; contract 1 has extension.';
comment on column contracts.usage.occurred_at is 'When it happened; narrowed by it, a query reads those months only.';

create or replace view contracts.users with (security_invoker = true) as
  select u.id, u.email, private.display_name(u) as name, u.picture,
         coalesce(b.allocated, 0) as total_tokens, coalesce(b.used, 0) as tokens_used,
         coalesce(b.allocated - b.used - b.reserved, 0) as tokens_left,
         u.created_at, greatest(u.updated_at, b.updated_at) as updated_at,
         i.provider as oauth_provider, i.subject as oauth_id,
         coalesce(public.effective_tier(s), 'free') as tier,
         coalesce(c.tokens, 0) as "tokenCount", coalesce(c.prompts, 0) as "promptCount", u.created_at as "createdAt"
    from public.users u
    left join public.balances b on b.subject_id = u.id
    left join public.subscriptions s on s.user_id = u.id
    left join public.tracker_counters c on c.user_id = u.id
    left join lateral (
      select e.provider, e.subject from private.external_identities e where e.user_id = u.id order by e.created_at, e.provider limit 1
    ) i on true;
comment on view contracts.users is 'The contracts'' table users: accounts with their balance, tier and tracked counters. Passwords and keys are not in it.';
comment on column contracts.users.id is 'The account''s id.';
comment on column contracts.users.email is 'Its e-mail address.';
comment on column contracts.users.name is 'Its name, or what is before the @ of its address.';
comment on column contracts.users.picture is 'Address of a picture.';
comment on column contracts.users.total_tokens is 'Contract 4: tokens granted.';
comment on column contracts.users.tokens_used is 'Contract 4: tokens used.';
comment on column contracts.users.tokens_left is 'Contract 4: tokens left, not counting those held.';
comment on column contracts.users.created_at is 'When it was created.';
comment on column contracts.users.updated_at is 'When its profile or balance last changed.';
comment on column contracts.users.oauth_provider is 'Contract 5: google or github, the first it signed in with; null without one.';
comment on column contracts.users.oauth_id is 'Contract 5: its id there.';
comment on column contracts.users.tier is 'Contract 5: free, pro or premium, as it holds now.';
comment on column contracts.users."tokenCount" is 'Contract 2: tokens tracked.';
comment on column contracts.users."promptCount" is 'Contract 2: prompts tracked.';
comment on column contracts.users."createdAt" is 'Contract 2: when it was created.';

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
select private.record_migration('20261128014225', 'c2ad8fde43f05370acb492fd92df9a5d2e038b61e590aebf46db8a5574168f5f');
