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
  if to_regclass('private.idempotency_keys_created_at_idx') is not null then
    drop index private.idempotency_keys_created_at_idx;
    alter table private.idempotency_keys drop constraint idempotency_keys_key_check;
    alter table private.idempotency_keys
      alter column key type uuid using encode(substr(sha256(convert_to(key, 'UTF8')), 1, 16), 'hex')::uuid,
      alter column request_hash type bigint using ('x' || encode(substr(request_hash, 1, 8), 'hex'))::bit(64)::bigint,
      alter column answer drop not null,
      add column tokens_used bigint,
      add column remaining bigint;
    alter table private.idempotency_keys rename column key to key_hash;
  end if;
end
$$;
create index if not exists idempotency_keys_hour_idx on private.idempotency_keys (date_bin('1 hour', created_at, 'epoch'));
comment on column private.idempotency_keys.key_hash is 'The first 128 bits of the SHA-256 of the caller''s key.';
comment on column private.idempotency_keys.request_hash is 'The first 64 bits of the SHA-256 of what was asked: the same key with another request is refused.';
comment on column private.idempotency_keys.answer is 'The original answer; null for a device''s debit, whose answer is made of the other columns.';
comment on column private.idempotency_keys.created_at is 'When it was first used; kept for at least 48 hours.';
comment on column private.idempotency_keys.tokens_used is 'What a device''s debit took; its event is that of keyed_event_id.';
comment on column private.idempotency_keys.remaining is 'What a device''s debit left.';


set check_function_bodies = off;

drop function if exists private.close_generation(p_generation generations, p_status text, p_provenance text, p_input bigint, p_output bigint, p_nano_usd bigint);

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

create or replace function private.change_balances(p_subjects uuid[], p_used bigint[], p_reserved bigint[])
returns void
language plpgsql volatile set search_path = '' set plan_cache_mode = 'force_generic_plan'
as $$
begin
  update public.balances b
     set used = b.used + change.used, reserved = b.reserved + change.reserved, updated_at = now()
    from unnest(p_subjects, p_used, p_reserved) as change(subject_id, used, reserved)
   where b.subject_id = change.subject_id;
end
$$;
comment on function private.change_balances(uuid[], bigint[], bigint[]) is
  'Adds to what each of these subjects, named once, has used and reserved; the balances must be locked by the caller.';

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
  insert into private.idempotency_keys (subject_id, key_hash, request_hash, answer)
  values (p_user_id, v_key, v_request, jsonb_build_object('hold', p_item ->> 'hold'))
  on conflict (subject_id, key_hash) do nothing;
  if found then
    return null;
  end if;
  return (
    select case when k.request_hash = v_request then 'ALREADY_ANSWERED' else 'IDEMPOTENCY_MISMATCH' end
      from private.idempotency_keys k
     where k.subject_id = p_user_id and k.key_hash = v_key
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

-- Names come from clients, and each is a row of every summary: only so many of a subject and day are kept apart.
create or replace function private.fold_names(p_events public.usage_events[])
returns public.usage_events[]
language plpgsql volatile set search_path = '' set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_position integer;
  v_is_full boolean;
begin
  -- Nearly always: no name is new.
  if not exists (
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
   where e.user_id is null and e.device_id in (select d.id from public.devices d where d.first_user_id = p_user_id);
  -- Those an admin removed before have a name, too.
  update public.devices set name = 'Deleted device', user_id = null, first_user_id = null where first_user_id = p_user_id;
end
$$;
comment on function private.forget_devices(uuid, text) is
  'Removes all devices that were ever linked to an account that is deleted: their tokens die, and name, fingerprint and owner are blanked.';

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

create or replace function private.model_cost(p_model text)
returns integer
language plpgsql stable set search_path = ''
as $$
begin
  return coalesce(
    (select c.cost from public.model_costs c where c.model in (p_model, '*') order by c.model = '*' limit 1), 1
  );
end
$$;
comment on function private.model_cost(text) is
  'Returns the tokens a prompt to a model, in lower case, debits from a device: its own price, that of *, or 1.';

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
begin
  perform private.ensure_usage_partitions(p_events);
  insert into public.usage_events select e.* from unnest(p_events) e;
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
  insert into private.idempotency_keys (subject_id, key_hash, request_hash, answer)
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

-- The caller holds a lock that serialises calls with this key.
create or replace function private.replayed_answer(p_subject_id uuid, p_key_hash uuid, p_request_hash bigint)
returns jsonb
language plpgsql stable set search_path = ''
as $$
declare
  v_earlier private.idempotency_keys;
begin
  select k.* into v_earlier
    from private.idempotency_keys k where k.subject_id = p_subject_id and k.key_hash = p_key_hash;
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

create or replace function private.roll_up_usage(p_events public.usage_events[])
returns void
language plpgsql volatile set search_path = '' set plan_cache_mode = 'force_generic_plan'
as $$
begin
  p_events := private.fold_names(p_events);
  with counted as materialized (
    select e.subject_id, date_bin('15 minutes', e.occurred_at, 'epoch') as bucket, e.provider, e.model, e.source,
           count(*) as events, sum(e.prompt_count) as prompts, sum(e.input_tokens) as input_tokens,
           sum(e.output_tokens) as output_tokens, sum(e.total_tokens) as total_tokens, sum(e.cost) as cost,
           coalesce(sum(e.nano_usd), 0) as nano_usd
      from unnest(p_events) e
     group by 1, 2, 3, 4, 5
  ),
  rolled_up as (
    insert into public.usage_rollups as r (
      subject_id, bucket, provider, model, source, events, prompts, input_tokens, output_tokens, total_tokens, cost, nano_usd
    )
    select c.* from counted c order by 1, 2, 3, 4, 5
    on conflict (subject_id, bucket, provider, model, source) do update
      set events = r.events + excluded.events,
          prompts = r.prompts + excluded.prompts,
          input_tokens = r.input_tokens + excluded.input_tokens,
          output_tokens = r.output_tokens + excluded.output_tokens,
          total_tokens = r.total_tokens + excluded.total_tokens,
          cost = r.cost + excluded.cost,
          nano_usd = r.nano_usd + excluded.nano_usd
    returning 1
  )
  insert into public.usage_totals as t (
    bucket, shard, events, prompts, input_tokens, output_tokens, total_tokens, cost, nano_usd
  )
  select c.bucket, pg_backend_pid() % 8, sum(c.events), sum(c.prompts), sum(c.input_tokens), sum(c.output_tokens),
         sum(c.total_tokens), sum(c.cost), sum(c.nano_usd)
    from counted c
   -- Asked first, so that every rollup is written before any total: in the order of locks.
   where (select count(*) from rolled_up) > 0
   group by 1
   order by 1
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
comment on function private.roll_up_usage(public.usage_events[]) is 'Adds events to the quarter-hour rollups and totals.';

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
      select greatest(ceil(extract(epoch from min(m.due_at) - now())), 0)::integer from private.mails m where m.recipient is not null
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
-- own. Devices are locked in id order, so concurrent calls cannot deadlock. What the items did is written at the end, for
-- all of them at once.
create or replace function public.meter_devices(p_items jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = '' set plan_cache_mode = 'force_generic_plan'
as $$
-- Definer: the only writer of balances, events, rollups and holds; no API role may write them itself.
declare
  v_count constant integer := jsonb_array_length(p_items);
  v_order integer[] := '{1}';
  v_at integer;
  v_item jsonb;
  v_op text;
  v_model text;
  v_prompts integer;
  v_reserves boolean;
  v_device record;
  v_device_id uuid;
  v_available bigint;
  v_reserved bigint;
  v_used bigint;
  v_priced_model text;
  v_price integer;
  v_cost bigint;
  v_key uuid;
  v_request_hash bigint;
  v_first_key integer;
  v_position integer;
  v_hold public.reservations;
  v_is_held boolean;
  v_released bigint;
  v_event_id uuid;
  v_answer jsonb;
  v_answers jsonb[] := array_fill(null::jsonb, array[v_count]);
  v_changed uuid[] := '{}';
  v_used_changes bigint[] := '{}';
  v_reserved_changes bigint[] := '{}';
  v_events public.usage_events[] := '{}';
  v_holds public.reservations[] := '{}';
  v_settled uuid[] := '{}';
  v_settled_by uuid[] := '{}';
  v_keys private.idempotency_keys[] := '{}';
  v_key_hashes uuid[] := '{}';
  v_key_answers jsonb[] := '{}';
begin
  if p_items @? '$[*] ? (@.op == "debit" || @.reserve == true)' then
    perform from public.balances b
      where b.subject_id = any (array(
        select (i ->> 'device_id')::uuid from jsonb_array_elements(p_items) i
         where i ->> 'op' = 'debit' or (i ->> 'reserve')::boolean
      ))
      order by b.subject_id for update;
  end if;
  if v_count > 1 then
    v_order := array(
      select i.ord from jsonb_array_elements(p_items) with ordinality as i(item, ord)
       order by (i.item ->> 'device_id')::uuid, i.ord
    );
  end if;

  foreach v_at in array v_order loop
    v_item := p_items -> v_at - 1;
    if v_device_id is distinct from (v_item ->> 'device_id')::uuid then
      v_device_id := v_item ->> 'device_id';
      select d.token_version, d.blocked, d.user_id, o.suspended_at is not null as suspended, b.period, b.allocated, b.used,
             b.reserved - e.amount as reserved, b.remaining + e.amount as remaining, e.amount > 0 as has_expired_holds
        into v_device
        from public.devices d
        join public.balances b on b.subject_id = d.id
        left join public.users o on o.id = d.user_id
       cross join lateral (
         select coalesce(sum(r.amount), 0)::bigint as amount from public.reservations r
          where r.subject_id = d.id and r.status = 'held' and r.expires_at <= now()
       ) e
       where d.id = v_device_id;
      if v_device.has_expired_holds then
        perform from public.balances b where b.subject_id = v_device_id for update;
        perform private.expire_reservations(array[v_device_id]);
      end if;
      v_available := v_device.remaining;
      v_reserved := v_device.reserved;
      v_used := v_device.used;
      v_first_key := cardinality(v_keys) + 1;
    end if;
    v_op := v_item ->> 'op';
    v_model := lower(btrim(v_item ->> 'model'));
    v_prompts := v_item ->> 'prompt_count';
    v_reserves := coalesce((v_item ->> 'reserve')::boolean, false);

    v_key := null;
    v_answer := case
      when (v_device.token_version = (v_item ->> 'token_version')::integer) is not true
        then '{"code": "INVALID_TOKEN"}'::jsonb
      when v_device.blocked then '{"code": "DEVICE_BLOCKED"}'::jsonb
      when v_device.suspended then '{"code": "ACCOUNT_SUSPENDED"}'::jsonb
    end;

    -- A key seen before, in an earlier call or earlier in this one, repeats its answer.
    if v_answer is null and v_item ->> 'key' is not null then
      v_key := private.idempotency_key_hash(v_item ->> 'key');
      v_request_hash := private.request_hash(
        jsonb_build_array(v_op, v_reserves, v_model, v_prompts, (v_item ->> 'reservation_id')::uuid)
      );
      v_position := array_position(v_key_hashes, v_key, v_first_key);
      v_answer := case
        when v_position is null then private.replayed_answer(v_device_id, v_key, v_request_hash)
        when v_keys[v_position].request_hash = v_request_hash then v_key_answers[v_position]
        else '{"code": "IDEMPOTENCY_MISMATCH"}'::jsonb
      end;
    end if;

    if v_answer is null and v_op = 'balance' then
      v_answer := jsonb_build_object(
        'allocated', v_device.allocated, 'used', v_used, 'reserved', v_reserved, 'remaining', v_available
      );
    end if;
    if v_answer is not null then
      v_answers[v_at] := v_answer;
      continue;
    end if;

    if v_priced_model is distinct from v_model then
      v_priced_model := v_model;
      v_price := private.model_cost(v_model);
    end if;
    v_cost := v_price::bigint * v_prompts;
    v_hold := null;
    v_event_id := null;

    if v_op = 'check' and v_reserves and v_available >= v_cost then
      v_hold := row(
        gen_random_uuid(), v_device_id, v_cost, 'held', v_model, v_prompts, null,
        now() + interval '10 minutes', now(), null
      )::public.reservations;
      v_holds := v_holds || v_hold;
      v_available := v_available - v_cost;
      v_reserved := v_reserved + v_cost;
      v_answer := jsonb_build_object(
        'can_use', true, 'tokens_needed', v_cost, 'remaining', v_available,
        'reservation_id', v_hold.id, 'expires_at', v_hold.expires_at
      );
    elsif v_op = 'check' then
      v_answers[v_at] := jsonb_build_object(
        'can_use', v_available >= v_cost, 'tokens_needed', v_cost, 'remaining', v_available
      );
      continue;
    elsif v_op = 'debit' then
      if v_item ->> 'reservation_id' is not null then
        select r.* into v_hold from public.reservations r
         where r.id = (v_item ->> 'reservation_id')::uuid and r.subject_id = v_device_id;
        if not found then
          v_answer := '{"code": "RESERVATION_NOT_FOUND"}';
        elsif v_hold.status = 'settled' or v_hold.id = any (v_settled) then
          v_answer := '{"code": "RESERVATION_SETTLED"}';
        end if;
      end if;
      -- An expired hold guarantees nothing: its usage is debited like any other.
      v_is_held := v_hold.status = 'held' and v_hold.expires_at > now();
      v_released := case when v_is_held then v_hold.amount else 0 end;
      if v_answer is null and v_available + v_released < v_cost then
        v_answer := jsonb_build_object(
          'code', 'INSUFFICIENT_TOKENS', 'requested', v_cost, 'remaining', v_available + v_released
        );
      end if;
      if v_answer is not null then
        v_answers[v_at] := v_answer;
        continue;
      end if;
      v_event_id := case
        when v_key is null then gen_random_uuid() else private.keyed_event_id(v_device_id, v_key, now())
      end;
      v_events := v_events || row(
        v_event_id, v_device_id, v_device.user_id, v_device_id, 'device', 'unknown', v_model, v_prompts,
        0, 0, 0, v_cost, 'client_reported', v_device.period, null, now(), now(), null
      )::public.usage_events;
      if v_is_held then
        v_settled := v_settled || v_hold.id;
        v_settled_by := v_settled_by || v_event_id;
      end if;
      v_available := v_available + v_released - v_cost;
      v_reserved := v_reserved - v_released;
      v_used := v_used + v_cost;
      v_answer := jsonb_build_object('event_id', v_event_id, 'tokens_used', v_cost, 'remaining', v_available);
    else
      raise exception 'unknown metering operation %', v_op using errcode = '22023';
    end if;

    -- Only what took effect comes here, and is remembered: a refused write moved nothing and may be tried again.
    v_answers[v_at] := v_answer;
    if v_changed[cardinality(v_changed)] is distinct from v_device_id then
      v_changed := v_changed || v_device_id;
    end if;
    v_used_changes[cardinality(v_changed)] := v_used - v_device.used;
    v_reserved_changes[cardinality(v_changed)] := v_reserved - v_device.reserved;
    if v_key is not null then
      v_keys := v_keys || row(
        v_device_id, v_key, v_request_hash, case when v_event_id is null then v_answer end, now(),
        case when v_event_id is not null then v_cost end, case when v_event_id is not null then v_available end
      )::private.idempotency_keys;
      v_key_hashes := v_key_hashes || v_key;
      v_key_answers := v_key_answers || v_answer;
    end if;
  end loop;

  if cardinality(v_changed) > 0 then
    perform private.change_balances(v_changed, v_used_changes, v_reserved_changes);
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
  if cardinality(v_keys) > 0 then
    insert into private.idempotency_keys select k.* from unnest(v_keys) k;
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
language plpgsql volatile security definer set search_path = ''
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
  recorded as (
    insert into public.feature_events (id, user_id, name, properties, occurred_at, device_id)
    select j.event_id, j.user_id, j.name, j.properties, j.occurred_at, j.device_id from judged j where j.code is null
  ),
  counted as (
    insert into public.feature_rollups as r (user_id, bucket, name, events)
    select j.user_id, date_bin('15 minutes', j.occurred_at, 'epoch'), j.name, count(*)
      from judged j where j.code is null and j.user_id is not null
     group by 1, 2, 3
     order by 1, 2, 3
    on conflict (user_id, bucket, name) do update set events = r.events + excluded.events
  )
  select jsonb_agg(
           case when j.code is null then jsonb_build_object('id', j.event_id, 'recorded', true)
             else jsonb_build_object('code', j.code) end
           order by j.ord
         )
    into v_answers
    from judged j;
  return v_answers;
end
$$;
grant execute on function public.record_features(jsonb, integer) to service_role;
comment on function public.record_features(jsonb, integer) is
  'Records uses of features. Takes an array of {id, session_id | api_key_id, name, properties, timestamp_ms}, with {device_id, token_version} in place of the person''s where a device sends it, returns an array in the same order: {id, recorded}, or {code}.';

-- Items are taken in the order given, and each gets an outcome of its own. What they say is written at the end, for all of
-- them at once.
create or replace function public.record_usage(p_items jsonb, p_retention_months integer)
returns jsonb
language plpgsql volatile security definer set search_path = '' set plan_cache_mode = 'force_generic_plan'
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
    insert into private.idempotency_keys select k.* from unnest(v_keys) k order by k.subject_id, k.key_hash
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

-- Items are taken per account in the order given, each sees what the ones before it counted, and each gets an outcome of
-- its own. What they counted is written at the end, for all of them at once.
create or replace function public.track_usage(p_items jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = '' set plan_cache_mode = 'force_generic_plan'
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

-- Notes the SHA-256 of the text above.
select private.record_migration('20261128002155', '955381b091994609e711b0a580d8ee4fba8137c58efe5f3561e72f1dc5eb00a0');
