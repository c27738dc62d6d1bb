-- People have a second factor; months that are over are packed into an archive; reports may be read from a standby; the
-- console changes all that match a search; payments tell what they granted; reports are quick in every time zone.

-- As in every function: names are qualified, and what changes rows here is not a change by hand.
set search_path = '';

-- People see what each of their payments granted, and what they paid.



-- What was paid is noted from now on; of earlier payments Stripe has it.
alter table public.subscription_grants
  add column if not exists paid_amount bigint,
  add column if not exists currency text check (length(currency) between 1 and 10);
comment on column public.subscription_grants.paid_amount is 'Money that was paid, in the smallest unit of the currency; null where it was not noted.';
comment on column public.subscription_grants.currency is 'Its currency, such as usd.';

-- People may set up a second factor: whichever way they sign in, its code or a recovery code is asked for as well.



-- Second factors of people: time-based one-time passwords (RFC 6238), and the sign-ins that wait for a code of one.

create table if not exists private.user_second_factors (
  user_id uuid primary key references public.users (id) on delete cascade,
  id uuid not null default gen_random_uuid(),
  secret text not null check (length(secret) between 16 and 128),
  created_at timestamptz not null default now(),
  confirmed_at timestamptz,
  last_step bigint not null default 0
);
comment on table private.user_second_factors is 'Second factors of people: time-based one-time passwords (RFC 6238).';
comment on column private.user_second_factors.user_id is 'The account.';
comment on column private.user_second_factors.id is 'Changes with the secret: a code that was checked against another one proves nothing.';
comment on column private.user_second_factors.secret is 'The shared secret in base32.';
comment on column private.user_second_factors.created_at is 'When it was made.';
comment on column private.user_second_factors.confirmed_at is 'When a first code was shown; null while it is being set up and asks nobody for a code.';
comment on column private.user_second_factors.last_step is 'The time step of the newest code that was used: neither it nor an earlier one is good again.';

create table if not exists private.user_recovery_codes (
  user_id uuid not null references private.user_second_factors (user_id) on delete cascade,
  code_hash bytea not null check (length(code_hash) = 32),
  primary key (user_id, code_hash)
);
comment on table private.user_recovery_codes is 'Codes that stand in for a lost second factor of a person. Using one deletes its row.';
comment on column private.user_recovery_codes.user_id is 'The account.';
comment on column private.user_recovery_codes.code_hash is 'SHA-256 of the code, which has 80 random bits and was shown once.';

create table if not exists private.sign_in_challenges (
  challenge_hash bytea primary key check (length(challenge_hash) = 32),
  user_id uuid not null references private.user_second_factors (user_id) on delete cascade,
  attempts smallint not null default 0 check (attempts between 0 and 5),
  expires_at timestamptz not null default now() + interval '5 minutes'
);
create index if not exists sign_in_challenges_user_idx on private.sign_in_challenges (user_id);
create index if not exists sign_in_challenges_expiry_idx on private.sign_in_challenges (expires_at);
comment on table private.sign_in_challenges is 'Sign-ins that showed a password or a provider''s word and wait for the code of the second factor. Each opens one session.';
comment on column private.sign_in_challenges.challenge_hash is 'SHA-256 of the 256 random bits the client was given.';
comment on column private.sign_in_challenges.user_id is 'The account.';
comment on column private.sign_in_challenges.attempts is 'Codes that were sent with it; after five it is over.';
comment on column private.sign_in_challenges.expires_at is 'When it is over in any case.';

create table if not exists private.proved_google_tokens (
  token_hash bytea primary key check (length(token_hash) = 32),
  user_id uuid not null references private.user_second_factors (user_id) on delete cascade,
  expires_at timestamptz not null default now() + interval '1 hour'
);
create index if not exists proved_google_tokens_user_idx on private.proved_google_tokens (user_id);
create index if not exists proved_google_tokens_expiry_idx on private.proved_google_tokens (expires_at);
comment on table private.proved_google_tokens is 'Google''s access tokens that came with a code of the second factor: they open the account until they end.';
comment on column private.proved_google_tokens.token_hash is 'SHA-256 of the access token.';
comment on column private.proved_google_tokens.user_id is 'The account.';
comment on column private.proved_google_tokens.expires_at is 'When a code is needed again; Google''s tokens live no longer than an hour.';

alter table private.user_second_factors enable row level security;
alter table private.user_recovery_codes enable row level security;
alter table private.sign_in_challenges enable row level security;
alter table private.proved_google_tokens enable row level security;

create table if not exists private.alerts (
  id bigint generated always as identity primary key,
  type text not null,
  data jsonb not null,
  user_id uuid,
  occurred_at timestamptz not null default now()
);
create index if not exists alerts_user_idx on private.alerts (user_id) where user_id is not null;
create index if not exists alerts_time_idx on private.alerts (occurred_at);
comment on table private.alerts is 'What admins were, or could have been, warned of in the last 90 days.';
comment on column private.alerts.id is 'Counts up.';
comment on column private.alerts.type is 'What happened, as webhooks call it.';
comment on column private.alerts.data is 'The particulars, as webhooks get them.';
comment on column private.alerts.user_id is 'Whose balance or device it is about, so that it goes with the account. No reference: a debit must not lock the account.';
comment on column private.alerts.occurred_at is 'When it happened.';

create table if not exists private.bulk_changes (
  id uuid primary key default gen_random_uuid(),
  subject_kind text not null check (subject_kind in ('device', 'user')),
  change jsonb not null,
  query text check (length(query) <= 200),
  filter text check (length(filter) <= 40),
  matched integer not null check (matched >= 0),
  created_by text not null,
  created_at timestamptz not null default now(),
  started_at timestamptz,
  stopped_at timestamptz
);
create index if not exists bulk_changes_time_idx on private.bulk_changes (created_at);
comment on table private.bulk_changes is 'Changes of all devices or accounts that matched a search, done chunk by chunk; kept for 30 days.';
comment on column private.bulk_changes.id is 'The change''s id.';
comment on column private.bulk_changes.subject_kind is 'device or user.';
comment on column private.bulk_changes.change is 'What is done to each: {action, tokens, tier, api_keys}.';
comment on column private.bulk_changes.query is 'The text that was searched for, if one was.';
comment on column private.bulk_changes.filter is 'The filter of the list, if one was chosen.';
comment on column private.bulk_changes.matched is 'How many matched when it was begun: these, and no others, are changed.';
comment on column private.bulk_changes.created_by is 'The admin who began it.';
comment on column private.bulk_changes.created_at is 'When it was begun, as a preview.';
comment on column private.bulk_changes.started_at is 'When the first chunk was done; null for a preview.';
comment on column private.bulk_changes.stopped_at is 'When an admin gave up what was left of it.';

create table if not exists private.bulk_chunks (
  change_id uuid not null references private.bulk_changes (id) on delete cascade,
  number integer not null check (number >= 0),
  ids uuid[] not null,
  outcome jsonb,
  primary key (change_id, number)
);
create index if not exists bulk_chunks_open_idx on private.bulk_chunks (change_id, number) where outcome is null;
comment on table private.bulk_chunks is 'What is changed in one transaction of a bulk change.';
comment on column private.bulk_chunks.change_id is 'The bulk change.';
comment on column private.bulk_chunks.number is 'Counts up from 0; ids of a chunk are above those of the one before.';
comment on column private.bulk_chunks.ids is 'The devices or accounts; none once it is done.';
comment on column private.bulk_chunks.outcome is 'Once it is done: {changed, skipped, refused: [{id, code}]}.';
alter table private.alerts enable row level security;
alter table private.bulk_changes enable row level security;
alter table private.bulk_chunks enable row level security;

-- One check for all amounts of a table, so that a debit reads thirteen where it read thirty-two. Sums of quarter hours, so that everybody's
-- days are summaries of sums in every time zone. Lists of everybody's uses of one thing look where it was used.



-- Postgres reads each check anew for every statement that writes: one for all amounts of a table says the same.
alter table public.usage_events
  drop constraint if exists usage_events_prompt_count_check,
  drop constraint if exists usage_events_input_tokens_check,
  drop constraint if exists usage_events_output_tokens_check,
  drop constraint if exists usage_events_total_tokens_check,
  drop constraint if exists usage_events_cost_check,
  drop constraint if exists usage_events_nano_usd_check,
  drop constraint if exists usage_events_amounts_check,
  add constraint usage_events_amounts_check check (least(prompt_count, input_tokens, output_tokens, total_tokens, cost, nano_usd) >= 0);
-- Months have them by themselves as well.
do $$
declare
  v_check record;
begin
  for v_check in
    select c.conrelid::regclass as month, c.conname as name
      from pg_catalog.pg_constraint c join pg_catalog.pg_inherits i on i.inhrelid = c.conrelid
     where i.inhparent = 'public.usage_events'::regclass and c.contype = 'c' and c.coninhcount = 0
       and c.conname = any ('{usage_events_prompt_count_check,usage_events_input_tokens_check,usage_events_output_tokens_check,usage_events_total_tokens_check,usage_events_cost_check,usage_events_nano_usd_check}')
  loop
    execute pg_catalog.format('alter table %s drop constraint %I', v_check.month, v_check.name);
  end loop;
end
$$;
alter table public.usage_rollups
  drop constraint if exists usage_rollups_events_check,
  drop constraint if exists usage_rollups_prompts_check,
  drop constraint if exists usage_rollups_input_tokens_check,
  drop constraint if exists usage_rollups_output_tokens_check,
  drop constraint if exists usage_rollups_total_tokens_check,
  drop constraint if exists usage_rollups_cost_check,
  drop constraint if exists usage_rollups_nano_usd_check,
  drop constraint if exists usage_rollups_amounts_check,
  add constraint usage_rollups_amounts_check check (least(events, prompts, input_tokens, output_tokens, total_tokens, cost, nano_usd) >= 0);
alter table public.usage_totals
  drop constraint if exists usage_totals_events_check,
  drop constraint if exists usage_totals_prompts_check,
  drop constraint if exists usage_totals_input_tokens_check,
  drop constraint if exists usage_totals_output_tokens_check,
  drop constraint if exists usage_totals_total_tokens_check,
  drop constraint if exists usage_totals_cost_check,
  drop constraint if exists usage_totals_amounts_check,
  add constraint usage_totals_amounts_check check (least(events, prompts, input_tokens, output_tokens, total_tokens, cost) >= 0);
alter table public.balances
  drop constraint if exists balances_used_check,
  drop constraint if exists balances_reserved_check,
  drop constraint if exists balances_debt_check,
  drop constraint if exists balances_period_check,
  drop constraint if exists balances_amounts_check,
  add constraint balances_amounts_check check (least(used, reserved, debt, period - 1) >= 0);

-- Where a day of another time zone begins within one of UTC's, its part of that is told by the quarter hours.
create table if not exists private.quarter_hour_usage (
  bucket timestamptz not null,
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
  primary key (bucket, provider, model, source)
);
comment on table private.quarter_hour_usage is 'Rollups of everybody summed per quarter hour of the days daily_usage has; see summed_days for which may be used.';
comment on column private.quarter_hour_usage.bucket is 'Start of the quarter hour (UTC).';
comment on column private.quarter_hour_usage.provider is 'The AI provider.';
comment on column private.quarter_hour_usage.model is 'The model.';
comment on column private.quarter_hour_usage.source is 'Which API recorded the events.';
comment on column private.quarter_hour_usage.events is 'Number of events.';
comment on column private.quarter_hour_usage.prompts is 'Sum of their prompts.';
comment on column private.quarter_hour_usage.input_tokens is 'Sum of their input tokens.';
comment on column private.quarter_hour_usage.output_tokens is 'Sum of their output tokens.';
comment on column private.quarter_hour_usage.total_tokens is 'Sum of their tokens.';
comment on column private.quarter_hour_usage.cost is 'Sum of what they debited.';
comment on column private.quarter_hour_usage.nano_usd is 'Sum of what upstream charges for them, in nano-dollars, as far as that is known.';
alter table private.quarter_hour_usage enable row level security;
comment on table private.summed_days is 'The days daily_usage and quarter_hour_usage have, or are to have.';
-- Days are summed up anew, quarter hours included; until they are they are read by the quarter hour.
update private.summed_days set summed_at = null where summed_at is not null and not exists (select from private.quarter_hour_usage);

-- Months that are over may be packed: their events and rollups lie in the archive in a fraction of the bytes, and everything
-- that reads or changes them finds them there.



-- Months that are over, packed: a row holds all events or rollups of one kind that a subject has in a month, as arrays, so
-- that what they have in common is stored once. What is the same in all is one element, what is 0 or follows from the rest is
-- null. Nothing here is ever changed: what is to change is thawed into the tables it came from, and packed again later.

create table if not exists private.archived_events (
  subject_id uuid not null,
  since timestamptz not null,
  part integer not null,
  user_id uuid,
  device_id uuid,
  source text not null,
  provider text not null,
  model text not null,
  provenance text not null,
  period integer not null,
  prompt_count integer not null,
  events integer not null check (events > 0),
  days integer not null,
  ids uuid[] not null,
  occurred timestamptz[] not null,
  created timestamptz[],
  input_tokens bigint[],
  output_tokens bigint[],
  total_tokens bigint[],
  costs bigint[],
  nano_usd bigint[],
  urls text[],
  primary key (subject_id, since, part)
);
-- A month is written at once, so that its rows lie together.
create index if not exists archived_events_since_idx on private.archived_events using brin (since);
create index if not exists archived_events_linked_idx on private.archived_events (user_id, since)
  where user_id is not null and user_id is distinct from subject_id;
comment on table private.archived_events is 'Usage events of months that were archived, packed; the view every_event has them as rows.';
comment on column private.archived_events.subject_id is 'The device or user whose balance the events count against.';
comment on column private.archived_events.since is 'Start of the month (UTC) they are of, or of the day where the subject has many.';
comment on column private.archived_events.part is 'Counts the rows of a subject and month or day.';
comment on column private.archived_events.user_id is 'The account behind them, if known.';
comment on column private.archived_events.device_id is 'The device behind them, if any.';
comment on column private.archived_events.source is 'Which API recorded them.';
comment on column private.archived_events.provider is 'The AI provider.';
comment on column private.archived_events.model is 'The model.';
comment on column private.archived_events.provenance is 'client_reported, provider_final or estimated.';
comment on column private.archived_events.period is 'The subject''s budget period at the time.';
comment on column private.archived_events.prompt_count is 'Prompts each of them stands for.';
comment on column private.archived_events.events is 'Number of events.';
comment on column private.archived_events.days is 'The days of the month they happened on: bit 0 is the first.';
comment on column private.archived_events.ids is 'Their ids.';
comment on column private.archived_events.occurred is 'When each happened.';
comment on column private.archived_events.created is 'When each was recorded; null where that was when it happened.';
comment on column private.archived_events.input_tokens is 'Tokens sent by each; one for all where they are the same, null for 0.';
comment on column private.archived_events.output_tokens is 'Tokens received by each; one for all where they are the same, null for 0.';
comment on column private.archived_events.total_tokens is 'Tokens of each altogether; null where that is the sum of those sent and received.';
comment on column private.archived_events.costs is 'What each debited; one for all where it is the same, null for 0.';
comment on column private.archived_events.nano_usd is 'What upstream charges for each; one for all where it is the same, null where that is not known of any.';
comment on column private.archived_events.urls is 'The page each happened on; one for all where it is the same, null where that is not known of any.';

create table if not exists private.archived_rollups (
  subject_id uuid not null,
  month timestamptz not null,
  part integer not null,
  provider text not null,
  model text not null,
  source text not null,
  rollups integer not null check (rollups > 0),
  quarters smallint[] not null,
  events bigint[],
  prompts bigint[],
  input_tokens bigint[],
  output_tokens bigint[],
  total_tokens bigint[],
  costs bigint[],
  nano_usd bigint[],
  primary key (subject_id, month, part)
);
create index if not exists archived_rollups_month_idx on private.archived_rollups using brin (month);
comment on table private.archived_rollups is 'Rollups of months that were archived, packed; the view every_rollup has them as rows.';
comment on column private.archived_rollups.subject_id is 'The device or user.';
comment on column private.archived_rollups.month is 'The month''s start (UTC).';
comment on column private.archived_rollups.part is 'Counts the rows of a subject and month.';
comment on column private.archived_rollups.provider is 'The AI provider.';
comment on column private.archived_rollups.model is 'The model.';
comment on column private.archived_rollups.source is 'Which API recorded the events.';
comment on column private.archived_rollups.rollups is 'Number of rollups.';
comment on column private.archived_rollups.quarters is 'The quarter hour of each, 0 the first of the month (UTC).';
comment on column private.archived_rollups.events is 'Events of each; one for all where they are the same, null for 1.';
comment on column private.archived_rollups.prompts is 'Prompts of each; one for all where they are the same, null where there are as many as events.';
comment on column private.archived_rollups.input_tokens is 'Tokens sent; one for all where they are the same, null for 0.';
comment on column private.archived_rollups.output_tokens is 'Tokens received; one for all where they are the same, null for 0.';
comment on column private.archived_rollups.total_tokens is 'Tokens altogether; null where that is the sum of those sent and received.';
comment on column private.archived_rollups.costs is 'What was debited; one for all where it is the same, null for 0.';
comment on column private.archived_rollups.nano_usd is 'What upstream charges; one for all where it is the same, null for 0.';

-- One row a month at most, so that whether anything is archived costs next to nothing to find out.
create table if not exists private.archived_months (
  month timestamptz primary key,
  archived_at timestamptz not null default now(),
  events bigint not null check (events >= 0),
  rollups bigint not null check (rollups >= 0)
);
comment on table private.archived_months is 'Months that were archived. What changed in one since lies in usage_events and usage_rollups until it is packed again.';
comment on column private.archived_months.month is 'The month''s start (UTC).';
comment on column private.archived_months.archived_at is 'When it was last packed.';
comment on column private.archived_months.events is 'Events that were packed then, or before.';
comment on column private.archived_months.rollups is 'Rollups that were packed then, or before.';

alter table private.archived_events enable row level security;
alter table private.archived_rollups enable row level security;
alter table private.archived_months enable row level security;


set check_function_bodies = off;

drop function if exists public.find_google_user(p_identity jsonb, p_default_tokens bigint, p_sign_up text);

drop function if exists public.prove_session(p_caller jsonb, p_verified_hash text, p_code_hash text);

create or replace function private.account_filter(p_filter text)
returns text
language sql immutable set search_path = ''
as $$
  select case p_filter
    when 'suspended' then 'u.suspended_at is not null'
    when 'near_limit' then 'b.remaining * 10 <= b.allocated'
    when 'unverified' then 'u.email_verified_at is null'
    when 'subscribed' then $condition$s.status <> 'none' and public.effective_tier(s) <> 'free'$condition$
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

create or replace function private.account_json(p_user_id uuid)
returns jsonb
language plpgsql stable set search_path = '' set timezone = 'UTC'
as $$
declare
  v_account jsonb;
begin
  select private.user_json(u) || jsonb_build_object(
           'email_verified', u.email_verified_at is not null, 'suspended_at', u.suspended_at,
           'tier', coalesce((select public.effective_tier(s) from public.subscriptions s where s.user_id = u.id), 'free'),
           'second_factor', private.has_second_factor(u.id),
           'devices', (select count(*) from public.devices d where d.user_id = u.id and d.deleted_at is null),
           'sessions', (select count(*) from private.sessions s where s.user_id = u.id and s.expires_at > now()),
           'api_keys', (select count(*) from private.api_keys k where k.user_id = u.id)
         )
    into v_account
    from public.users u where u.id = p_user_id;
  if v_account is null then
    raise sqlstate 'PT404' using message = 'USER_NOT_FOUND';
  end if;
  return v_account;
end
$$;
comment on function private.account_json(uuid) is
  'Returns an account as admins see it, with its standing, tier and how many devices, sessions and keys it has; raises USER_NOT_FOUND.';

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
  -- Ids are sorted and cut to a page before anything else of them is read.
  execute format(
    $query$
      select coalesce(jsonb_agg(
               private.user_json(u) || jsonb_build_object(
                 'email_verified', u.email_verified_at is not null, 'suspended_at', u.suspended_at,
                 'tier', coalesce(public.effective_tier(s), 'free'), 'tokens_reserved', coalesce(b.reserved, 0),
                 'devices', (
                   select count(*) from public.devices d where d.user_id = u.id and d.deleted_at is null
                 ),
                 'last_used_at', private.last_used_at(u.id), 'sort_value', p.sort_value::text
               ) order by p.sort_value %2$s, p.id %2$s
             ), '[]')
        from (
          select u.id, %1$s as sort_value
            %5$s
             and ($2 is null or (%1$s, u.id) %3$s ($2::%4$s, $3))
           order by %1$s %2$s, u.id %2$s
           limit $4
        ) p
        join public.users u on u.id = p.id
        left join public.balances b on b.subject_id = p.id
        left join public.subscriptions s on s.user_id = p.id
    $query$,
    v_column, v_direction, case v_direction when 'desc' then '<' else '>' end, v_type,
    private.list_source('user', p_filter, p_query)
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
  -- At the end one alert is enough.
  if p_type = 'balance.exhausted' or p_threshold < 100 then
    perform private.raise_alert(p_type, v_data, v_user_id);
  end if;
end
$$;
comment on function private.announce_balance(text, public.balances, smallint) is
  'Writes down, for webhooks, admins and mail, that a balance reached a threshold or its end.';

create or replace function private.archived_last_use(p_subject_id uuid)
returns timestamptz
language plpgsql stable set search_path = '' set plan_cache_mode = 'force_custom_plan'
as $$
begin
  return (
    select max(a.month + q.quarter * interval '15 minutes')
      from private.archived_rollups a cross join lateral unnest(a.quarters) q(quarter)
     where a.subject_id = p_subject_id
       and a.month = (
         select l.month from private.archived_rollups l where l.subject_id = p_subject_id order by l.month desc limit 1
       )
  );
end
$$;
comment on function private.archived_last_use(uuid) is 'Returns the quarter hour of a device''s or user''s last archived use, null where there is none.';

-- From the place where the page begins, in stretches that get longer until it is full: only what lies in them is unpacked.
create or replace function private.archived_page(
  p_subject_id uuid, p_linked_to uuid, p_own uuid[], p_devices uuid[], p_limit integer, p_from timestamptz, p_to timestamptz,
  p_filter jsonb, p_at timestamptz, p_id uuid, p_is_ascending boolean
)
returns setof public.usage_events
language plpgsql stable set search_path = '' set plan_cache_mode = 'force_custom_plan' set timezone = 'UTC'
as $$
declare
  v_end constant timestamptz := public.archived_until();
  v_from timestamptz := greatest(p_from, (select min(m.month) from private.archived_months m), case when p_is_ascending then p_at end);
  v_to timestamptz := least(p_to, v_end, case when not p_is_ascending then p_at + interval '1 microsecond' end);
  v_span interval := case when p_subject_id is null and p_linked_to is null then interval '1 day' else interval '31 days' end;
  v_low timestamptz;
  v_high timestamptz;
  v_days integer;
  v_found integer := 0;
  v_rows integer;
begin
  while v_from < v_to and v_found < p_limit loop
    v_low := case when p_is_ascending then v_from else greatest(v_from, v_to - v_span) end;
    v_high := case when p_is_ascending then least(v_to, v_from + v_span) else v_to end;
    -- A stretch within a month is told by its days.
    v_days := case when date_trunc('month', v_low) = date_trunc('month', v_high - interval '1 microsecond') then (
      (1::bigint << extract(day from v_high - interval '1 microsecond')::integer) - (1::bigint << extract(day from v_low)::integer - 1)
    )::bit(32)::integer else -1 end;
    return query
      select u.id, u.subject_id, u.user_id, u.device_id, u.source, u.provider, u.model, u.prompt_count, u.input_tokens,
             u.output_tokens, u.total_tokens, u.cost, u.provenance, u.period, u.url, u.occurred_at, u.created_at, u.nano_usd
        from private.unpacked_events u
       where (p_subject_id is null or u.subject_id = p_subject_id)
         and (p_linked_to is null or (u.user_id = p_linked_to and u.user_id is distinct from u.subject_id))
         and (
           p_own is null or u.subject_id = any (p_own) or u.user_id = any (p_own)
           or (u.user_id is null and u.subject_id = any (p_devices))
         )
         and u.since >= date_trunc('month', v_low) and u.since < v_high and u.days & v_days <> 0
         and u.occurred_at >= v_low and u.occurred_at < v_high
         and (
           p_id is null
           or case when p_is_ascending then (u.occurred_at, u.id) > (p_at, p_id) else (u.occurred_at, u.id) < (p_at, p_id) end
         )
         and (p_filter ->> 'provider' is null or u.provider = p_filter ->> 'provider')
         and (p_filter ->> 'model' is null or u.model = lower(btrim(p_filter ->> 'model')))
         and (p_filter ->> 'source' is null or u.source = p_filter ->> 'source')
         and (p_filter ->> 'device' is null or u.device_id = (p_filter ->> 'device')::uuid)
         and (not p_filter ? 'debits' or u.cost > 0)
         and (p_filter ->> 'debits' is distinct from 'people' or u.source <> 'device')
       order by case when p_is_ascending then u.occurred_at end, case when p_is_ascending then u.id end,
                u.occurred_at desc, u.id desc
       limit p_limit - v_found;
    get diagnostics v_rows = row_count;
    v_found := v_found + v_rows;
    v_from := case when p_is_ascending then v_high else v_from end;
    v_to := case when p_is_ascending then v_to else v_low end;
    v_span := v_span * 2;
  end loop;
end
$$;
comment on function private.archived_page(uuid, uuid, uuid[], uuid[], integer, timestamptz, timestamptz, jsonb, timestamptz, uuid, boolean) is
  'Returns archived events of a subject, or of devices in an account''s name, or of everybody, before or after a place; with p_own only those which these ids, or the devices of theirs, may see.';

-- Only for who has passed the second factor, or has none: whoever signs in comes through open_session.
create or replace function private.begin_session(p_user_id uuid, p_session jsonb)
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
  return jsonb_build_object('outcome', 'opened') || private.session_json(v_id);
end
$$;
comment on function private.begin_session(uuid, jsonb) is
  'Opens a session, for somebody who has shown all there is to show, {refresh_hash, lifetime_seconds, user_agent, address, network, notice} with its first refresh token, and remembers the network, where there is one, as one its owner logs in from; where it is a new one, the sealed notice to them is queued. Returns {outcome: opened, session_id, user}; raises ACCOUNT_SUSPENDED.';

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
  delete from private.quarter_hour_usage where true;
  delete from private.daily_usage where true;
  delete from private.summed_days where true;
  return null;
end
$$;
comment on function private.break_seals() is 'Trigger: takes every seal and every day''s sum away, so that all of them are made from their rows again.';

create or replace function private.bulk_change_json(p_id uuid)
returns jsonb
language plpgsql stable set search_path = '' set timezone = 'UTC'
as $$
declare
  v_change jsonb;
begin
  select jsonb_build_object(
           'id', c.id, 'kind', c.subject_kind, 'query', c.query, 'filter', c.filter, 'created_by', c.created_by,
           'created_at', c.created_at, 'matched', c.matched, 'change', c.change,
           'state', case
             when c.stopped_at is not null then 'stopped'
             when o.left_over = 0 then 'done'
             when c.started_at is null then 'preview'
             else 'running'
           end,
           'changed', o.changed, 'skipped', o.skipped, 'left', o.left_over, 'refused', o.refused,
           'refusals', (
             select coalesce(jsonb_agg(jsonb_build_object('code', r.code, 'count', r.count) order by r.count desc, r.code), '[]')
               from (
                 select i ->> 'code' as code, count(*) as count
                   from private.bulk_chunks k cross join jsonb_array_elements(k.outcome -> 'refused') i
                  where k.change_id = c.id group by 1
               ) r
           )
         )
    into v_change
    from private.bulk_changes c
    cross join lateral (
      select coalesce(sum((k.outcome ->> 'changed')::integer), 0) as changed,
             coalesce(sum((k.outcome ->> 'skipped')::integer), 0) as skipped,
             coalesce(sum(jsonb_array_length(k.outcome -> 'refused')), 0) as refused,
             coalesce(sum(cardinality(k.ids)), 0) as left_over
        from private.bulk_chunks k where k.change_id = c.id
    ) o
   where c.id = p_id;
  if v_change is null then
    raise sqlstate 'PT404' using message = 'BULK_CHANGE_NOT_FOUND';
  end if;
  return v_change;
end
$$;
comment on function private.bulk_change_json(uuid) is
  'Returns how a bulk change stands: {id, kind, query, filter, created_by, created_at, matched, change, state, changed, skipped, left, refused, refusals: [{code, count}]}; raises BULK_CHANGE_NOT_FOUND.';

create or replace function private.challenge_sign_in(p_user_id uuid, p_challenge_hash text)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
begin
  if exists (select from public.users u where u.id = p_user_id and u.suspended_at is not null) then
    raise sqlstate 'PT403' using message = 'ACCOUNT_SUSPENDED';
  end if;
  if p_challenge_hash is not null then
    delete from private.sign_in_challenges c where c.user_id = p_user_id and c.expires_at <= now();
    insert into private.sign_in_challenges (challenge_hash, user_id)
    values (decode(p_challenge_hash, 'hex'), p_user_id);
  end if;
  return jsonb_build_object('outcome', 'second_factor_required');
end
$$;
comment on function private.challenge_sign_in(uuid, text) is
  'Keeps a sign-in that waits for the code of the second factor, under the SHA-256 (hex) of what its client is given. Returns {outcome: second_factor_required}; raises ACCOUNT_SUSPENDED.';

create or replace function private.change_each(p_actor jsonb, p_kind text, p_ids uuid[], p_change jsonb)
returns jsonb[]
language plpgsql volatile set search_path = ''
as $$
declare
  v_items jsonb[] := '{}';
  v_id uuid;
  v_item jsonb;
  v_answer jsonb;
  v_code text;
begin
  perform from public.balances b where b.subject_id = any (p_ids) order by b.subject_id for update;
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
        v_item := v_item || jsonb_build_object('after', null, 'entry', null, 'code', v_code);
    end;
    v_items := v_items || v_item;
  end loop;
  return v_items;
end
$$;
comment on function private.change_each(jsonb, text, uuid[], jsonb) is
  'Does {action, tokens, tier, api_keys} to each of the devices or accounts that it is not refused for, in id order; returns {id, name, before, after, entry, code} of each. The accounts and the pool must be locked.';

create or replace function private.change_event_money(
  p_generation public.generations, p_provenance text, p_nano_usd bigint
)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_event public.usage_events;
  v_difference bigint;
begin
  perform private.thaw_usage(p_generation.subject_id, r.closed_at) from public.reservations r where r.id = p_generation.id;
  -- An event happened when its hold was closed.
  select e.* into v_event
    from public.usage_events e
   where e.subject_id = p_generation.subject_id and e.id = p_generation.id
     and e.occurred_at = (select r.closed_at from public.reservations r where r.id = p_generation.id);
  -- Until upstream's last word is known, nothing is taken from what it has said.
  v_difference := case when p_provenance = 'estimated' then greatest(p_nano_usd, v_event.nano_usd) else p_nano_usd end
    - coalesce(v_event.nano_usd, 0);
  if v_event.id is null or v_difference is null or (v_difference = 0 and v_event.nano_usd is not null) then
    return;
  end if;
  update public.usage_events e set nano_usd = coalesce(e.nano_usd, 0) + v_difference
   where e.subject_id = v_event.subject_id and e.occurred_at = v_event.occurred_at and e.id = v_event.id;
  v_event := private.rolled_up_as(v_event);
  update public.usage_rollups r set nano_usd = r.nano_usd + v_difference
   where r.subject_id = v_event.subject_id and r.bucket = date_bin('15 minutes', v_event.occurred_at, 'epoch')
     and r.provider = v_event.provider and r.model = v_event.model and r.source = v_event.source;
  -- Into any shard: they are added up.
  insert into public.usage_totals as t (
    bucket, shard, events, prompts, input_tokens, output_tokens, total_tokens, cost, nano_usd
  )
  values (
    date_bin('15 minutes', v_event.occurred_at, 'epoch'), pg_backend_pid() % 8, 0, 0, 0, 0, 0, 0, v_difference
  )
  on conflict (bucket, shard) do update set nano_usd = t.nano_usd + excluded.nano_usd;
end
$$;
comment on function private.change_event_money(public.generations, text, bigint) is
  'Changes what upstream charges for the event of a closed generation, in its rollups too; nothing where that is not known, or the event is gone.';

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
    select e.id, sum(e.cost) as cost
      from (
        select * from public.usage_events l
         where l.occurred_at >= p_from and l.occurred_at < p_until and (p_subject_id is null or l.subject_id = p_subject_id)
        union all
        select * from private.unpack_events(p_from, p_until, p_subject_id)
      ) e
     where e.source in ('chat', 'api')
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
  recorded as not materialized (
    select * from public.usage_events e
     where e.occurred_at >= p_from and e.occurred_at < p_until and (p_subject_id is null or e.subject_id = p_subject_id)
    union all
    select * from private.unpack_events(p_from, p_until, p_subject_id)
  ),
  named as (
    select e.subject_id, e.occurred_at, e.provider, e.model, e.source, e.prompt_count, e.input_tokens, e.output_tokens,
           e.total_tokens, e.cost, e.nano_usd
      from recorded e
     where not v_full
    union all
    select e.subject_id, e.occurred_at,
           case when f.day is null or n.day is not null then e.provider else 'other' end,
           case when f.day is null or n.day is not null then e.model else 'other' end, e.source, e.prompt_count,
           e.input_tokens, e.output_tokens, e.total_tokens, e.cost, e.nano_usd
      from recorded e
      left join full_days f on f.subject_id = e.subject_id and f.day = (e.occurred_at at time zone 'UTC')::date
      left join private.rollup_names n
        on n.subject_id = f.subject_id and n.day = f.day and n.provider = e.provider and n.model = e.model
     where v_full
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
    union all
    select * from private.unpack_rollups(p_from, p_until, p_subject_id)
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

create or replace function private.count_matches(p_kind text, p_query text, p_filter text)
returns bigint
language plpgsql stable set search_path = ''
as $$
declare
  v_count bigint;
begin
  execute 'select count(*) ' || private.list_source(p_kind, p_filter, p_query) into v_count using private.search_pattern(p_query);
  return v_count;
end
$$;
comment on function private.count_matches(text, text, text) is
  'Returns how many devices or accounts match a search and a filter.';

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
  -- Ids are sorted and cut to a page before anything else of them is read.
  execute format(
    $query$
      select coalesce(jsonb_agg(
               jsonb_build_object(
                 'id', d.id, 'name', d.name, 'user_email', u.email, 'allocated', b.allocated, 'used', b.used,
                 'reserved', b.reserved, 'remaining', b.remaining, 'blocked', d.blocked,
                 'registrations', d.registrations, 'created_at', d.created_at,
                 'last_seen', greatest(d.last_registered_at, private.last_used_at(d.id)),
                 'usage_this_month', private.device_models_this_month(d.id),
                 'sort_value', p.sort_value::text
               ) order by p.sort_value %2$s, p.id %2$s
             ), '[]')
        from (
          select d.id, %1$s as sort_value
            %5$s
             and ($2 is null or (%1$s, d.id) %3$s ($2::%4$s, $3))
           order by %1$s %2$s, d.id %2$s
           limit $4
        ) p
        join public.devices d on d.id = p.id
        join public.balances b on b.subject_id = p.id
        left join public.users u on u.id = d.user_id
    $query$,
    v_column, v_direction, case v_direction when 'desc' then '<' else '>' end, v_type,
    private.list_source('device', p_filter, p_query)
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

create or replace function private.drop_user_second_factor(p_user_id uuid)
returns boolean
language plpgsql volatile set search_path = ''
as $$
declare
  v_confirmed_at timestamptz;
begin
  -- Its recovery codes, the sign-ins that wait for a code and what a code has proved go with it.
  delete from private.user_second_factors f where f.user_id = p_user_id returning f.confirmed_at into v_confirmed_at;
  return v_confirmed_at is not null;
end
$$;
comment on function private.drop_user_second_factor(uuid) is
  'Removes the second factor of an account with its recovery codes; returns whether it was turned on.';

-- Whoever ends all sessions because one may be a thief's must not lose the account afterwards, by a link the thief asked for.
create or replace function private.end_sessions(p_user_id uuid, p_except uuid default null)
returns integer
language plpgsql volatile set search_path = ''
as $$
declare
  v_ended integer;
begin
  delete from private.email_changes c where c.user_id = p_user_id;
  delete from private.sign_in_challenges c where c.user_id = p_user_id;
  delete from private.proved_google_tokens p where p.user_id = p_user_id;
  delete from private.sessions s where s.user_id = p_user_id and s.id is distinct from p_except;
  get diagnostics v_ended = row_count;
  return v_ended;
end
$$;
comment on function private.end_sessions(uuid, uuid) is 'Ends the sessions of an account, but for one, the sign-ins under way, and the change of its address that one of them may have asked for; returns how many sessions.';

create or replace function private.find_matches(p_kind text, p_query text, p_filter text, p_among uuid[] default null)
returns setof uuid
language plpgsql stable set search_path = ''
as $$
declare
  v_id text := case p_kind when 'device' then 'd.id' else 'u.id' end;
begin
  return query execute format(
    'select %1$s %2$s %3$s order by %1$s',
    v_id, private.list_source(p_kind, p_filter, p_query),
    case when p_among is not null then format('and %s = any ($2)', v_id) else '' end
  ) using private.search_pattern(p_query), p_among;
end
$$;
comment on function private.find_matches(text, text, text, uuid[]) is
  'Returns the ids of the devices or accounts that match a search and a filter, in order; only those among the given ones where any are given.';

create or replace function private.has_second_factor(p_user_id uuid)
returns boolean
language plpgsql stable set search_path = ''
as $$
begin
  return exists (
    select from private.user_second_factors f where f.user_id = p_user_id and f.confirmed_at is not null
  );
end
$$;
comment on function private.has_second_factor(uuid) is 'Returns whether signing in to an account takes the code of a second factor.';

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
      from (
        select * from public.usage_events l
         where l.occurred_at >= p_from and l.occurred_at < p_until and (p_subject_id is null or l.subject_id = p_subject_id)
        union all
        select * from private.unpack_events(p_from, p_until, p_subject_id)
      ) e
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
      from (
        select * from public.usage_rollups l
         where l.bucket >= p_from and l.bucket < p_until and (p_subject_id is null or l.subject_id = p_subject_id)
        union all
        select * from private.unpack_rollups(p_from, p_until, p_subject_id)
      ) r
     group by r.subject_id;
end
$$;
comment on function private.hash_rollups(timestamptz, timestamptz, uuid) is
  'Returns what the rollups of a month, or of one subject in it, add up to, with the sum of their hashes.';

create or replace function private.hash_subjects(p_from timestamptz, p_until timestamptz, p_subjects uuid[])
returns jsonb
language sql stable set search_path = ''
as $$
  select jsonb_agg(
           jsonb_build_array(
             s.subject_id,
             (select jsonb_agg(to_jsonb(e) order by e.period) from private.hash_events(p_from, p_until, s.subject_id) e),
             (select jsonb_agg(to_jsonb(r)) from private.hash_rollups(p_from, p_until, s.subject_id) r)
           ) order by s.subject_id
         )
    from unnest(p_subjects) s(subject_id)
$$;
comment on function private.hash_subjects(timestamptz, timestamptz, uuid[]) is
  'Returns what subjects'' events and rollups of a month add up to, wherever they lie, with their hashes; null for no subject.';

create or replace function private.is_google_token_proved(p_user_id uuid, p_token_hash text)
returns boolean
language plpgsql stable set search_path = ''
as $$
begin
  return not private.has_second_factor(p_user_id) or exists (
    select from private.proved_google_tokens p
     where p.token_hash = decode(p_token_hash, 'hex') and p.user_id = p_user_id and p.expires_at > now()
  );
end
$$;
comment on function private.is_google_token_proved(uuid, text) is
  'Returns whether an access token of Google''s (SHA-256, hex) opens an account by itself: there is no second factor, or its code came with the token before.';

create or replace function private.keep_recovery_codes(p_user_id uuid, p_hashes text[])
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  delete from private.user_recovery_codes c where c.user_id = p_user_id;
  insert into private.user_recovery_codes (user_id, code_hash)
  select p_user_id, decode(h, 'hex') from unnest(p_hashes) h;
end
$$;
comment on function private.keep_recovery_codes(uuid, text[]) is
  'Replaces the recovery codes of an account by those with these digests (SHA-256, hex).';

-- A look-up by the key for each, instead of a correlated subquery: those cannot be spread over several machines.
create or replace function private.last_used_at(p_subject_id uuid)
returns timestamptz
language plpgsql stable set search_path = ''
as $$
declare
  v_last constant timestamptz := (
    select r.bucket from public.usage_rollups r where r.subject_id = p_subject_id order by r.bucket desc limit 1
  );
begin
  -- What is not archived of a month that is may have come late.
  if v_last is null or v_last < public.archived_until() then
    return greatest(v_last, private.archived_last_use(p_subject_id));
  end if;
  return v_last;
end
$$;
comment on function private.last_used_at(uuid) is 'Returns the quarter hour of a device''s or user''s last use, null where there was none.';

-- One text for the page, the count and what is changed: they cannot disagree about who matches. What is not asked for is not
-- in it, so that it costs nothing.
create or replace function private.list_source(p_kind text, p_filter text, p_query text)
returns text
language sql immutable set search_path = ''
as $$
  select case p_kind
    when 'device' then
      $source$
        from public.devices d
        join public.balances b on b.subject_id = d.id
        left join public.users u on u.id = d.user_id
       where d.deleted_at is null
      $source$
      || case when p_query is null then '' else 'and (lower(d.name) like $1 or u.email like $1' end
      || case when p_query is null then '' when private.may_be_id(p_query) then ' or d.id::text like $1)' else ')' end
      || ' and ' || private.device_filter(p_filter)
    when 'user' then
      $source$
        from public.users u
        left join public.balances b on b.subject_id = u.id
        left join public.subscriptions s on s.user_id = u.id
       where true
      $source$
      || case when p_query is null then '' else 'and (u.email like $1 or lower(u.name) like $1' end
      || case when p_query is null then '' when private.may_be_id(p_query) then ' or u.id::text like $1)' else ')' end
      || ' and ' || private.account_filter(p_filter)
  end
$$;
comment on function private.list_source(text, text, text) is
  'Returns the SQL (from, where) of the devices d or accounts u that a list shows with a filter and a search; $1 is the pattern of the search.';

create or replace function private.lock_for_change(p_kind text, p_ids uuid[])
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  perform from public.users u where p_kind = 'user' and u.id = any (p_ids) order by u.id for update;
  perform from public.budgets where subject_kind = p_kind for update;
end
$$;
comment on function private.lock_for_change(text, uuid[]) is
  'Locks the accounts that are changed and the pool, in the order everybody does.';

create or replace function private.may_be_id(p_query text)
returns boolean
language sql immutable set search_path = ''
as $$
  select p_query ~* '^[0-9a-f-]+$'
$$;
comment on function private.may_be_id(text) is 'Whether a text may be a part of an id.';

-- Days whose sums have the name, or might have counted it as other, and those that are not summed up.
create or replace function private.named_days(p_from timestamptz, p_to timestamptz, p_filter jsonb)
returns tstzmultirange
language sql stable set search_path = ''
as $$
  select tstzmultirange(tstzrange(p_from, p_to)) - coalesce(
           range_agg(tstzrange(s.day::timestamp at time zone 'UTC', (s.day + 1)::timestamp at time zone 'UTC')), '{}'
         )
    from private.summed_days s
   where s.summed_at is not null
     and s.day between (p_from at time zone 'UTC')::date and (p_to at time zone 'UTC')::date
     and not exists (select from private.changed_days c where c.day = s.day)
     and not exists (
       select from private.daily_usage u
        where u.day = s.day
          and (p_filter ->> 'source' is null or u.source = p_filter ->> 'source')
          and (
            (p_filter ->> 'provider' is null or u.provider = p_filter ->> 'provider')
            and (p_filter ->> 'model' is null or u.model = lower(btrim(p_filter ->> 'model')))
            or u.provider = 'other' and u.model = 'other'
          )
     )
$$;
comment on function private.named_days(timestamptz, timestamptz, jsonb) is
  'Returns the days in a range in which anybody may have used a provider, a model and a source.';

-- Whichever way somebody signs in, they come through here. The password or a provider's word alone opens no account that has
-- a second factor: the sign-in waits for its code, which finish_sign_in takes.
create or replace function private.open_session(p_user_id uuid, p_session jsonb)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
begin
  -- Turning a second factor on ends the sessions there are, and none may be on its way meanwhile.
  perform from public.users u where u.id = p_user_id for share;
  if private.has_second_factor(p_user_id) then
    return private.challenge_sign_in(p_user_id, p_session ->> 'challenge_hash');
  end if;
  return private.begin_session(p_user_id, p_session);
end
$$;
comment on function private.open_session(uuid, jsonb) is
  'Opens a session as begin_session does, or keeps the sign-in {challenge_hash} that waits for the code of a second factor. Returns {outcome: opened, session_id, user} or {outcome: second_factor_required}; raises ACCOUNT_SUSPENDED.';

-- All aggregates see the rows in one order, so that the n-th elements of the arrays belong together. A subject with many events
-- has them by the day, so that a page of them is not unpacked from a whole month.
create or replace function private.pack_events(p_from timestamptz, p_until timestamptz, p_subjects uuid[] default null)
returns bigint
language plpgsql volatile set search_path = '' set plan_cache_mode = 'force_custom_plan' set work_mem = '64MB' set timezone = 'UTC'
as $$
declare
  v_events bigint;
begin
  with
  events as (
    select e.*, date_trunc(
             case when count(*) over (partition by e.subject_id) > 2000 then 'day' else 'month' end, e.occurred_at
           ) as since
      from public.usage_events e
     where e.occurred_at >= p_from and e.occurred_at < p_until and (p_subjects is null or e.subject_id = any (p_subjects))
  ),
  ordered as (
    select * from events e
     order by e.subject_id, e.since, e.user_id, e.device_id, e.source, e.provider, e.model, e.provenance, e.period,
              e.prompt_count, e.occurred_at, e.id
  ),
  packed as (
    select e.subject_id, e.since, e.user_id, e.device_id, e.source, e.provider, e.model, e.provenance, e.period,
           e.prompt_count, count(*)::integer as events,
           bit_or(1 << extract(day from e.occurred_at)::integer - 1) as days,
           array_agg(e.id) as ids, array_agg(e.occurred_at) as occurred,
           case when not bool_and(e.created_at = e.occurred_at) then array_agg(e.created_at) end as created,
           case when min(e.input_tokens) = max(e.input_tokens) then array[nullif(min(e.input_tokens), 0)] else array_agg(e.input_tokens) end
             as input_tokens,
           case when min(e.output_tokens) = max(e.output_tokens) then array[nullif(min(e.output_tokens), 0)] else array_agg(e.output_tokens) end
             as output_tokens,
           case
             when bool_and(e.total_tokens = e.input_tokens + e.output_tokens) then null
             when min(e.total_tokens) = max(e.total_tokens) then array[min(e.total_tokens)]
             else array_agg(e.total_tokens)
           end as total_tokens,
           case when min(e.cost) = max(e.cost) then array[nullif(min(e.cost), 0)] else array_agg(e.cost) end as costs,
           case
             when count(e.nano_usd) = 0 then null
             when count(e.nano_usd) = count(*) and min(e.nano_usd) = max(e.nano_usd) then array[min(e.nano_usd)]
             else array_agg(e.nano_usd)
           end as nano_usd,
           case
             when count(e.url) = 0 then null
             when count(e.url) = count(*) and min(e.url) = max(e.url) then array[min(e.url)]
             else array_agg(e.url)
           end as urls
      from ordered e
     group by e.subject_id, e.since, e.user_id, e.device_id, e.source, e.provider, e.model, e.provenance, e.period,
              e.prompt_count
  ),
  written as (
    insert into private.archived_events (
      subject_id, since, part, user_id, device_id, source, provider, model, provenance, period, prompt_count, events, days,
      ids, occurred, created, input_tokens, output_tokens, total_tokens, costs, nano_usd, urls
    )
    select p.subject_id, p.since, row_number() over (partition by p.subject_id, p.since), p.user_id, p.device_id, p.source,
           p.provider, p.model, p.provenance, p.period, p.prompt_count, p.events, p.days, p.ids, p.occurred, p.created,
           nullif(p.input_tokens, '{null}'), nullif(p.output_tokens, '{null}'), p.total_tokens, nullif(p.costs, '{null}'),
           p.nano_usd, p.urls
      from packed p
    returning events
  )
  select coalesce(sum(w.events), 0) into v_events from written w;
  return v_events;
end
$$;
comment on function private.pack_events(timestamptz, timestamptz, uuid[]) is
  'Writes a month''s usage events, or those of some subjects, into the archive, and returns how many; they also stay where they are.';

create or replace function private.pack_rollups(p_from timestamptz, p_until timestamptz, p_subjects uuid[] default null)
returns bigint
language plpgsql volatile set search_path = '' set plan_cache_mode = 'force_custom_plan' set work_mem = '64MB'
as $$
declare
  v_rollups bigint;
begin
  with
  ordered as (
    select r.*, (extract(epoch from r.bucket - p_from) / 900)::smallint as quarter
      from public.usage_rollups r
     where r.bucket >= p_from and r.bucket < p_until and (p_subjects is null or r.subject_id = any (p_subjects))
     order by r.subject_id, r.provider, r.model, r.source, r.bucket
  ),
  packed as (
    select r.subject_id, r.provider, r.model, r.source, count(*)::integer as rollups, array_agg(r.quarter) as quarters,
           case when min(r.events) = max(r.events) then array[nullif(min(r.events), 1)] else array_agg(r.events) end as events,
           case
             when bool_and(r.prompts = r.events) then null
             when min(r.prompts) = max(r.prompts) then array[min(r.prompts)]
             else array_agg(r.prompts)
           end as prompts,
           case when min(r.input_tokens) = max(r.input_tokens) then array[nullif(min(r.input_tokens), 0)] else array_agg(r.input_tokens) end
             as input_tokens,
           case when min(r.output_tokens) = max(r.output_tokens) then array[nullif(min(r.output_tokens), 0)] else array_agg(r.output_tokens) end
             as output_tokens,
           case
             when bool_and(r.total_tokens = r.input_tokens + r.output_tokens) then null
             when min(r.total_tokens) = max(r.total_tokens) then array[min(r.total_tokens)]
             else array_agg(r.total_tokens)
           end as total_tokens,
           case when min(r.cost) = max(r.cost) then array[nullif(min(r.cost), 0)] else array_agg(r.cost) end as costs,
           case when min(r.nano_usd) = max(r.nano_usd) then array[nullif(min(r.nano_usd), 0)] else array_agg(r.nano_usd) end as nano_usd
      from ordered r
     group by r.subject_id, r.provider, r.model, r.source
  ),
  written as (
    insert into private.archived_rollups (
      subject_id, month, part, provider, model, source, rollups, quarters, events, prompts, input_tokens, output_tokens,
      total_tokens, costs, nano_usd
    )
    select p.subject_id, p_from, row_number() over (partition by p.subject_id), p.provider, p.model, p.source, p.rollups,
           p.quarters, nullif(p.events, '{null}'), p.prompts, nullif(p.input_tokens, '{null}'),
           nullif(p.output_tokens, '{null}'), p.total_tokens, nullif(p.costs, '{null}'), nullif(p.nano_usd, '{null}')
      from packed p
    returning rollups
  )
  select coalesce(sum(w.rollups), 0) into v_rollups from written w;
  return v_rollups;
end
$$;
comment on function private.pack_rollups(timestamptz, timestamptz, uuid[]) is
  'Writes a month''s rollups, or those of some subjects, into the archive, and returns how many; they also stay where they are.';

-- A dry run of all would hold everybody's locks: the first ones are tried, and what adds up is added up.
create or replace function private.preview_bulk_change(p_actor jsonb, p_id uuid)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_tried constant integer := 20;
  v_answer jsonb := private.bulk_change_json(p_id);
  v_kind text := v_answer ->> 'kind';
  v_taken bigint := -(v_answer #>> '{change,tokens}')::bigint;
  v_ids uuid[];
  v_sample jsonb := '[]';
  v_balances jsonb;
begin
  select k.ids[1:v_tried] into v_ids
    from private.bulk_chunks k where k.change_id = p_id and k.outcome is null order by k.number limit 1;
  if v_ids is not null then
    v_sample := public.change_many(p_actor, v_kind, v_ids, v_answer -> 'change', true) -> 'items';
  end if;
  select jsonb_build_object(
           'allocated', coalesce(sum(b.allocated), 0), 'remaining', coalesce(sum(b.remaining), 0),
           'short', count(*) filter (where b.remaining < v_taken)
         )
    into v_balances
    from private.bulk_chunks k cross join unnest(k.ids) i join public.balances b on b.subject_id = i
   where k.change_id = p_id and k.outcome is null;
  return v_answer || jsonb_build_object(
    'preview', jsonb_build_object('sample', v_sample, 'balances', v_balances, 'pool', private.budget_json(v_kind))
  );
end
$$;
comment on function private.preview_bulk_change(jsonb, uuid) is
  'Returns how a bulk change stands, with {sample, balances, pool}: what would come of the first twenty, tried and taken back; what all who are left have, and how many of them have fewer tokens than are taken; and the pool.';

create or replace function private.profile_json(p_user public.users)
returns jsonb
language sql stable set search_path = ''
as $$
  select private.user_json(p_user) || jsonb_build_object(
    'email_verified', p_user.email_verified_at is not null,
    'pending_email', (select c.email from private.email_changes c where c.user_id = p_user.id and c.expires_at > now()),
    'has_password', exists (select from private.user_credentials c where c.user_id = p_user.id),
    'second_factor', private.has_second_factor(p_user.id),
    'providers', (
      select coalesce(jsonb_agg(i.provider order by i.provider), '[]')
        from private.external_identities i where i.user_id = p_user.id
    )
  )
$$;
comment on function private.profile_json(public.users) is 'Returns an account as its owner sees it: with its balance and the ways to sign in.';

-- Of whom something changed since the month was sealed, the seal says nothing.
create or replace function private.prove_archive(p_from timestamptz, p_until timestamptz, p_subjects uuid[] default null)
returns bigint
language plpgsql stable set search_path = '' set plan_cache_mode = 'force_custom_plan' set work_mem = '64MB'
as $$
declare
  v_differences bigint;
begin
  with
  changed as materialized (
    select distinct c.subject_id from private.changed_usage c where c.month = p_from
  ),
  packed_events as (
    select u.subject_id, u.period, count(*) as events, sum(u.cost) as cost,
           sum(hash_record_extended(row(
             u.id, u.subject_id, u.user_id, u.device_id, u.source, u.provider, u.model, u.prompt_count, u.input_tokens,
             u.output_tokens, u.total_tokens, u.cost, u.provenance, u.period, u.url, u.occurred_at, u.created_at,
             u.nano_usd
           ), 0)) as checksum
      from private.unpacked_events u
     where u.since >= p_from and u.since < p_until and (p_subjects is null or u.subject_id = any (p_subjects))
     group by u.subject_id, u.period
  ),
  packed_rollups as (
    select u.subject_id, count(*) as rollups,
           sum(hash_record_extended(row(
             u.subject_id, u.bucket, u.provider, u.model, u.source, u.events, u.prompts, u.input_tokens, u.output_tokens,
             u.total_tokens, u.cost, u.nano_usd
           ), 0)) as checksum
      from private.unpacked_rollups u
     where u.month = p_from and (p_subjects is null or u.subject_id = any (p_subjects))
     group by u.subject_id
  ),
  differences as (
    select subject_id
      from packed_events p
      full join (
        select e.subject_id, e.period, e.events, e.cost, e.checksum from private.sealed_events e
         where e.month = p_from and (p_subjects is null or e.subject_id = any (p_subjects))
      ) s using (subject_id, period)
     where (p.events, p.cost, p.checksum) is distinct from (s.events, s.cost, s.checksum)
    union all
    select subject_id
      from packed_rollups p
      full join (
        select r.subject_id, r.rollups, r.checksum from private.sealed_rollups r
         where r.month = p_from and (p_subjects is null or r.subject_id = any (p_subjects))
      ) s using (subject_id)
     where (p.rollups, p.checksum) is distinct from (s.rollups, s.checksum)
  )
  select count(*) into v_differences from differences d where d.subject_id not in (select c.subject_id from changed c);
  return v_differences;
end
$$;
comment on function private.prove_archive(timestamptz, timestamptz, uuid[]) is
  'Unpacks what is archived of a month, or of some subjects in it, compares it with the month''s seal, and returns the number of differences.';

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
      join public.usage_events e
        on e.subject_id = s.subject_id and e.occurred_at >= s.month and e.occurred_at < s.until
     where s.has_events
    union all
    select e.subject_id, e.period, e.cost
      from scopes s cross join lateral private.unpack_events(s.month, s.until, s.subject_id) e
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

-- Everybody's totals are proved from the rollups, so sums of days and quarter hours are proved from them, model by model only in full.
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
    select to_char(d.day, 'YYYY-MM-DD') as part, case when p_full then u.provider end as provider,
           case when p_full then u.model end as model, case when p_full then u.source end as source,
           array[sum(u.events), sum(u.prompts), sum(u.input_tokens), sum(u.output_tokens), sum(u.total_tokens), sum(u.cost),
                 sum(u.nano_usd)] as sums
      from days d join private.daily_usage u on u.day = d.day
     group by 1, 2, 3, 4
    union all
    select to_char(q.bucket at time zone 'UTC', 'YYYY-MM-DD HH24:MI'), case when p_full then q.provider end,
           case when p_full then q.model end, case when p_full then q.source end,
           array[sum(q.events), sum(q.prompts), sum(q.input_tokens), sum(q.output_tokens), sum(q.total_tokens), sum(q.cost),
                 sum(q.nano_usd)]
      from days d join private.quarter_hour_usage q on (q.bucket at time zone 'UTC')::date = d.day
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
    union all
    select r.bucket, r.provider, r.model, r.source, r.events, r.prompts, r.input_tokens, r.output_tokens, r.total_tokens,
           r.cost, r.nano_usd
      from private.unpack_rollups('-infinity', 'infinity') r where p_full
  ),
  summed as materialized (
    select q.bucket at time zone 'UTC' as at, q.provider, q.model, q.source,
           sum(q.events) as events, sum(q.prompts) as prompts, sum(q.input_tokens) as input_tokens,
           sum(q.output_tokens) as output_tokens, sum(q.total_tokens) as total_tokens, sum(q.cost) as cost,
           sum(q.nano_usd) as nano_usd
      from quarters q
     group by 1, 2, 3, 4
  ),
  proven as (
    select to_char(b.at, case when p.is_day then 'YYYY-MM-DD' else 'YYYY-MM-DD HH24:MI' end) as part, b.provider, b.model,
           b.source,
           array[sum(b.events), sum(b.prompts), sum(b.input_tokens), sum(b.output_tokens), sum(b.total_tokens), sum(b.cost),
                 sum(b.nano_usd)] as sums
      from summed b
      join days d on d.day = b.at::date
     cross join (values (true), (false)) p(is_day)
     group by 1, 2, 3, 4
  ),
  compared as (
    select concat_ws(' ', coalesce(s.part, p.part), coalesce(s.provider, p.provider), coalesce(s.model, p.model),
                     coalesce(s.source, p.source)) as subject, s.sums as stated, p.sums as proven
      from stated s
      full join proven p
        on p.part = s.part and coalesce(p.provider, '') = coalesce(s.provider, '')
       and coalesce(p.model, '') = coalesce(s.model, '') and coalesce(p.source, '') = coalesce(s.source, '')
  )
  select 13, 'daily sums = sums of rollups', count(*),
         coalesce(
           jsonb_agg(jsonb_build_object('subject', c.subject, 'stated', c.stated, 'proven', c.proven))
             filter (where c.stated is distinct from c.proven),
           '[]'
         )
    from (
      -- Of what was all taken out again there may be sums of nothing, or none.
      select p.subject, coalesce(p.stated, array_fill(0::numeric, '{7}')) as stated,
             coalesce(p.proven, array_fill(0::numeric, '{7}')) as proven
        from compared p
    ) c;
end
$$;
comment on function private.prove_days(boolean) is
  'Proves the sums of days and their quarter hours from everybody''s totals, or with p_full from the rollups, model by model; days that are to be summed anew are not used, and not proved.';

-- Somebody may have registered with an address that is not theirs and wait for its owner. Whoever proves the address
-- first gets the account without anything the other could still open it with.
create or replace function private.prove_email(p_user_id uuid)
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  -- Whatever is being added to the account waits here, and then has its session checked again.
  perform from public.users where id = p_user_id for update;
  update public.users set email_verified_at = now(), updated_at = now()
   where id = p_user_id and email_verified_at is null;
  if not found then
    return;
  end if;
  perform private.end_sessions(p_user_id);
  delete from private.user_credentials where user_id = p_user_id;
  perform private.drop_user_second_factor(p_user_id);
  delete from private.api_keys where user_id = p_user_id;
  delete from private.external_identities where user_id = p_user_id;
  update public.devices set user_id = null where user_id = p_user_id;
end
$$;
comment on function private.prove_email(uuid) is
  'Marks the address as proved; the first time removes every credential and device link made before.';

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
    perform private.raise_alert('ledger.discrepancy', jsonb_build_object('checks', v_failing));
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
       select u.* from public.usage_rollups u
        where u.bucket >= s.month and u.bucket < s.until and u.source = 'tracker'
     ) r
     where s.subject_id is null
    union all
    select r.subject_id, r.prompts, r.total_tokens
      from scopes s
      join public.usage_rollups r on r.subject_id = s.subject_id and r.bucket >= s.month and r.bucket < s.until
     where r.source = 'tracker'
    union all
    select r.subject_id, r.prompts, r.total_tokens
      from scopes s cross join lateral private.unpack_rollups(s.month, s.until, s.subject_id) r
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

-- The proof is {factor_id, step} of a one-time password that fits that secret, or {factor_id, recovery_hash}; where what was
-- sent is wrong it fits neither. The caller holds the account.
create or replace function private.prove_user_second_factor(p_user_id uuid, p_proof jsonb)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_wait integer := private.count_attempt('user:second_factor', p_user_id::text, 10, interval '15 minutes');
  v_factor_id uuid := (p_proof ->> 'factor_id')::uuid;
  v_step bigint := (p_proof ->> 'step')::bigint;
begin
  if v_wait is not null then
    return jsonb_build_object('outcome', 'limited', 'retry_after', v_wait);
  end if;
  update private.user_second_factors f set last_step = v_step
   where f.user_id = p_user_id and f.id = v_factor_id and f.confirmed_at is not null and f.last_step < v_step;
  if not found then
    delete from private.user_recovery_codes c
     using private.user_second_factors f
     where c.user_id = p_user_id and c.code_hash = decode(p_proof ->> 'recovery_hash', 'hex')
       and f.user_id = p_user_id and f.id = v_factor_id and f.confirmed_at is not null;
    if not found then
      return jsonb_build_object('outcome', 'wrong');
    end if;
    perform private.audit('user:' || p_user_id, null, 'use_recovery_code', 'user:' || p_user_id, null, null);
    perform private.queue_notice(
      p_user_id, (select u.email from public.users u where u.id = p_user_id), p_proof ->> 'notice'
    );
  end if;
  delete from private.login_attempts where scope = 'user:second_factor' and key = p_user_id::text;
  return jsonb_build_object('outcome', 'proved');
end
$$;
comment on function private.prove_user_second_factor(uuid, jsonb) is
  'Counts an attempt, and uses up a one-time password or a recovery code of an account, of which the sealed notice in the proof tells its owner. Returns {outcome: proved}, wrong, also for a code that was used before, or limited with retry_after.';

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
    + private.prune_webhooks() + private.prune_second_factors();
end
$$;
comment on function private.prune_accounts() is
  'Removes sessions, tokens, codes, links and keys whose time is over; returns how many.';

create or replace function private.prune_second_factors()
returns integer
language plpgsql volatile set search_path = ''
as $$
declare
  v_challenges integer;
  v_tokens integer;
begin
  -- Skips what a request has locked; the next round finds it.
  delete from private.sign_in_challenges
   where challenge_hash in (select c.challenge_hash from private.sign_in_challenges c where c.expires_at <= now() for update skip locked);
  get diagnostics v_challenges = row_count;
  delete from private.proved_google_tokens
   where token_hash in (select p.token_hash from private.proved_google_tokens p where p.expires_at <= now() for update skip locked);
  get diagnostics v_tokens = row_count;
  delete from private.user_second_factors
   where user_id in (
     select f.user_id from private.user_second_factors f
      where f.confirmed_at is null and f.created_at <= now() - interval '1 day'
        for update skip locked
   );
  return v_challenges + v_tokens;
end
$$;
comment on function private.prune_second_factors() is
  'For maintenance: removes sign-ins that wait for a code no longer, what a code proved for an hour, and second factors nobody confirmed; returns how many of the first two.';

create or replace function private.raise_alert(p_type text, p_data jsonb, p_user_id uuid default null)
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  insert into private.alerts (type, data, user_id) values (p_type, p_data, p_user_id);
  perform private.request_alert_mails(p_type, p_data, p_user_id);
end
$$;
comment on function private.raise_alert(text, jsonb, uuid) is
  'Writes down what admins see among the recent alerts, and asks the servers to mail about it.';

-- Ordered, so that calls which bring the same events cannot deadlock.
create or replace function private.record_new_usage_events(p_events public.usage_events[])
returns uuid[]
language plpgsql volatile set search_path = ''
as $$
declare
  v_inserted public.usage_events[];
begin
  perform private.ensure_usage_partitions(p_events);
  perform private.thaw_late_usage(p_events);
  with inserted as (
    insert into public.usage_events
    select e.* from unnest(p_events) e order by e.subject_id, e.occurred_at, e.id
    on conflict do nothing
    returning *
  )
  select coalesce(array_agg(row(i.*)::public.usage_events), '{}') into v_inserted from inserted i;
  perform private.roll_up_usage(v_inserted);
  return array(select i.id from unnest(v_inserted) i);
end
$$;
comment on function private.record_new_usage_events(public.usage_events[]) is
  'Inserts the events that are not there yet and rolls them up; returns their ids.';

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
  perform private.thaw_subject(p_user_id);
  update public.usage_events set url = null where subject_id = p_user_id and url is not null;
  perform private.forget_devices(p_user_id, v_name);
  perform private.take_name_out_of_usage(p_user_id);

  -- Only now, as everybody who registers waits for the pool.
  v_returned := private.close_balance(p_user_id, v_name);

  delete from private.idempotency_keys where subject_id = p_user_id;
  delete from private.known_addresses where account = v_name;
  delete from private.alerts where user_id = p_user_id;
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

-- What a stranger counted cannot be told from what the account's own clients did: the account says what is right.
create or replace function private.replace_tracked(p_user_id uuid, p_prompts integer, p_tokens bigint)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_gone public.usage_totals;
  v_period integer;
begin
  perform private.thaw_subject(p_user_id);
  delete from public.usage_events e where e.subject_id = p_user_id and e.source = 'tracker';
  for v_gone in
    with gone as (
      delete from public.usage_rollups r where r.subject_id = p_user_id and r.source = 'tracker' returning r.*
    )
    select g.bucket, 0, sum(g.events), sum(g.prompts), sum(g.input_tokens), sum(g.output_tokens), sum(g.total_tokens), sum(g.cost),
           sum(g.nano_usd)
      from gone g group by g.bucket order by g.bucket
  loop
    perform private.take_out_total(v_gone);
  end loop;
  if p_prompts > 0 or p_tokens > 0 then
    select b.period into v_period from public.balances b where b.subject_id = p_user_id;
    perform private.record_usage_events(array[row(
      gen_random_uuid(), p_user_id, p_user_id, null, 'tracker', 'unknown', 'unknown', p_prompts,
      0, 0, p_tokens, 0, 'client_reported', v_period, null, now(), now(), null
    )::public.usage_events]);
  end if;
end
$$;
comment on function private.replace_tracked(uuid, integer, bigint) is
  'Replaces all that was tracked for an account, in its events, rollups and the totals, by one event of now.';

create or replace function private.request_alert_mails(p_type text, p_data jsonb, p_user_id uuid default null)
returns void
language sql volatile set search_path = ''
as $$
  insert into private.alert_mails (user_id, recipient, type, data)
  select u.id, null, p_type, p_data
    from private.alert_settings s join public.users u on u.id = p_user_id
   where s.id and s.mail_people and u.email_verified_at is not null
   union all
  select null, a.address, p_type, p_data from private.alert_settings s cross join unnest(s.mail_to) as a(address) where s.id
$$;
comment on function private.request_alert_mails(text, jsonb, uuid) is
  'Asks the servers to mail the person and the admins, as the settings say; nobody whose address is not proved.';

create or replace function private.require_fresh_if_protected(p_caller jsonb)
returns void
language plpgsql stable set search_path = ''
as $$
begin
  if private.has_second_factor((p_caller ->> 'id')::uuid) then
    perform private.require_fresh(p_caller);
  end if;
end
$$;
comment on function private.require_fresh_if_protected(jsonb) is
  'Raises PROOF_REQUIRED where the account has a second factor and the caller''s session was not opened, or proved again, with it within 5 minutes.';

-- A second factor is set up and taken away by its owner alone: by somebody who just proved who they are, or knows the
-- password. An API key proves nobody.
create or replace function private.require_own_proof(p_caller jsonb, p_verified_hash text, p_needs_password boolean)
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  if p_caller ->> 'session_id' is null then
    raise sqlstate 'PT403' using message = 'PROOF_REQUIRED';
  elsif p_verified_hash is null then
    if p_needs_password and exists (select from private.user_credentials c where c.user_id = (p_caller ->> 'id')::uuid) then
      raise sqlstate 'PT401' using message = 'INVALID_CREDENTIALS';
    end if;
    perform private.require_fresh(p_caller);
    return;
  end if;
  -- The password that was checked may have been changed meanwhile.
  perform from private.user_credentials c
   where c.user_id = (p_caller ->> 'id')::uuid and c.password_hash = p_verified_hash;
  if not found then
    raise sqlstate 'PT401' using message = 'INVALID_CREDENTIALS';
  end if;
  delete from private.login_attempts where scope = 'user:password' and key = p_caller ->> 'id';
end
$$;
comment on function private.require_own_proof(jsonb, text, boolean) is
  'Raises PROOF_REQUIRED for an API key, and for a session that was not proved within 5 minutes where no password was verified; INVALID_CREDENTIALS where that is the password no longer, or none was verified of an account that has one and this needs it.';

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
  if p_item ->> 'google_subject' is not null
     and not private.is_google_token_proved(p_user_id, p_item ->> 'google_token_hash')
  then
    answer := '{"code": "SECOND_FACTOR_REQUIRED"}';
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
  'Reserves the tokens of a chat request in its balance; the item of somebody with a google_subject has the SHA-256 of their access token in google_token_hash, for accounts with a second factor. Returns the answer {output_tokens, remaining}, with the hold and the generation to insert, or {code, …} alone where it is refused. The balance must be locked by the caller.';

-- The identity is {provider, subject, email, name, picture}; the provider verified the address.
create or replace function private.resolve_external_identity(
  p_identity jsonb, p_default_tokens bigint, p_sign_up text
)
returns public.users
language plpgsql volatile set search_path = ''
as $$
declare
  v_provider text := p_identity ->> 'provider';
  v_subject text := p_identity ->> 'subject';
  v_email text := p_identity ->> 'email';
  v_known record;
  v_user public.users;
begin
  -- Sign-ins of one person at the same moment wait for each other, whatever address each of them names.
  perform pg_advisory_xact_lock(hashtextextended('external identity ' || v_provider || ' ' || v_subject, 0));

  -- Who somebody is, the provider's subject says; the address may have changed since, there or here.
  select i.user_id, i.email into v_known from private.external_identities i
   where i.provider = v_provider and i.subject = v_subject;
  if found then
    if v_known.email <> v_email then
      -- An account that has the address the provider knew goes along, unless another one has the new address.
      select u.* into v_user from public.users u where u.id = v_known.user_id for update;
      -- With a second factor its owner changes the address, as no code of it was shown by now.
      if v_user.email = v_known.email and not private.has_second_factor(v_user.id)
         and private.change_email(v_user.id, v_email) then
        perform private.grant_default_tokens(v_user.id, p_default_tokens, 'system:' || v_provider);
      end if;
    end if;
    update private.external_identities i set last_used_at = now(), email = v_email
     where i.provider = v_provider and i.subject = v_subject;
    select u.* into v_user from public.users u where u.id = v_known.user_id;
    -- Nobody, where the account was deleted meanwhile.
    if found then
      return v_user;
    end if;
  end if;

  loop
    -- Holds back sessions and keys that are just being made for the account until it is clear whose it is.
    select u.* into v_user from public.users u where u.email = v_email for update;
    exit when found;
    if p_sign_up = 'closed' then
      raise sqlstate 'PT403' using message = 'SIGNUP_CLOSED';
    end if;
    v_user := private.create_account(v_email, p_identity ->> 'name', p_identity ->> 'picture');
    if v_user.id is not null and p_sign_up = 'invite' then
      -- The provider proved the address: an invitation to it needs no code.
      perform private.redeem_invitation(v_user, null);
    end if;
    exit when v_user.id is not null;
    -- Somebody took the address in between: look again who.
  end loop;

  -- The name of an account nobody proved was a stranger's word, as everything else `prove_email` removes.
  update public.users u set name = p_identity ->> 'name', picture = p_identity ->> 'picture'
   where u.id = v_user.id and u.email_verified_at is null;
  perform private.prove_email(v_user.id);

  -- A second subject of one provider with the same address is another person: the address was given to somebody new
  -- after the first one left, as companies do. It must not open the first one's account.
  insert into private.external_identities (provider, subject, user_id, email)
  values (v_provider, v_subject, v_user.id, v_email)
  on conflict (user_id, provider) do nothing;
  if not found then
    return null;
  end if;
  perform private.grant_default_tokens(v_user.id, p_default_tokens, 'system:' || v_provider);
  select u.* into v_user from public.users u where u.id = v_user.id;
  return v_user;
end
$$;
comment on function private.resolve_external_identity(jsonb, bigint, text) is
  'Returns the account a provider''s identity opens: its own, the one with its address, or a new one where p_sign_up lets it. Nulls where the address belongs to another person of that provider; raises SIGNUP_CLOSED, INVITATION_REQUIRED.';

create or replace function private.retire_month(p_month timestamptz)
returns void
language plpgsql volatile set search_path = '' set plan_cache_mode = 'force_custom_plan'
as $$
declare
  v_until timestamptz := (p_month at time zone 'UTC' + interval '1 month') at time zone 'UTC';
begin
  insert into private.retired_usage as u (subject_id, period, cost)
  select e.subject_id, e.period, sum(e.cost)
    from (
      select * from public.usage_events l where l.occurred_at >= p_month and l.occurred_at < v_until
      union all
      select * from private.unpack_events(p_month, v_until)
    ) e
   where e.cost > 0
   group by e.subject_id, e.period
  on conflict (subject_id, period) do update set cost = u.cost + excluded.cost;
  delete from private.archived_events where since >= p_month and since < v_until;
  update private.archived_months set events = 0 where month = p_month;
  -- Its rollups stay sealed.
  delete from private.sealed_events where month = p_month;
  delete from private.sealed_months where month = p_month and sealed_at is null;
  update private.sealed_months set retired_at = now() where month = p_month;
  perform private.sum_seal(p_month);
end
$$;
comment on function private.retire_month(timestamptz) is
  'Keeps what a month''s events debited, before they are dropped; the month''s seal is one of its rollups from then on.';

create or replace function private.session_page(
  p_user_id uuid, p_limit integer, p_before_at text, p_before_id uuid, p_current uuid default null
)
returns jsonb
language plpgsql stable set search_path = '' set timezone = 'UTC'
as $$
begin
  return (
    select coalesce(jsonb_agg(to_jsonb(page) order by page.created_at desc, page.id desc), '[]')
      from (
        select s.id, s.created_at, s.last_used_at, s.expires_at, s.user_agent, s.address,
               s.id is not distinct from p_current as current
          from private.sessions s
         where s.user_id = p_user_id and s.expires_at > now()
           and (p_before_id is null or (s.created_at, s.id) < (p_before_at::timestamptz, p_before_id))
         order by s.created_at desc, s.id desc
         limit p_limit
      ) page
  );
exception
  -- The cursor comes from the caller.
  when data_exception then
    raise sqlstate 'PT400' using message = 'VALIDATION_FAILED';
end
$$;
comment on function private.session_page(uuid, integer, text, uuid, uuid) is
  'Returns the running sessions of an account, newest first; before (time, id) to page on.';

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
  v_from timestamptz;
  v_to timestamptz;
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
    v_from := v_day::timestamp at time zone 'UTC';
    v_to := (v_day + 1)::timestamp at time zone 'UTC';
    delete from private.quarter_hour_usage where bucket >= v_from and bucket < v_to;
    insert into private.quarter_hour_usage
    select r.bucket, r.provider, r.model, r.source, sum(r.events), sum(r.prompts),
           sum(r.input_tokens), sum(r.output_tokens), sum(r.total_tokens), sum(r.cost), sum(r.nano_usd)
      from (
        select * from public.usage_rollups l where l.bucket >= v_from and l.bucket < v_to
        union all
        select * from private.unpack_rollups(v_from, v_to)
      ) r
     group by r.bucket, r.provider, r.model, r.source;
    delete from private.daily_usage where day = v_day;
    insert into private.daily_usage
    select v_day, q.provider, q.model, q.source, sum(q.events), sum(q.prompts), sum(q.input_tokens), sum(q.output_tokens),
           sum(q.total_tokens), sum(q.cost), sum(q.nano_usd)
      from private.quarter_hour_usage q
     where q.bucket >= v_from and q.bucket < v_to
     group by q.provider, q.model, q.source;
    update private.summed_days set summed_at = now() where day = v_day;
    v_summed := v_summed + 1;
  end loop;
  return v_summed;
end
$$;
comment on function private.sum_days(integer) is
  'Sums up days that are over, and their quarter hours, and anew those in which something changed since, so many at most; returns how many.';

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
      from (
        select * from public.usage_rollups l where l.bucket >= p_from and l.bucket < p_until
        union all
        select * from private.unpack_rollups(p_from, p_until)
      ) r
     where p_buckets is null or r.bucket = any (p_buckets)
     group by r.bucket;
end
$$;
comment on function private.sum_rollups(timestamptz, timestamptz, timestamptz[]) is
  'Returns what everybody''s rollups add up to in each quarter hour between two times, or in some of them.';

create or replace function private.take_name_out_of_usage(p_user_id uuid)
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  perform private.thaw_named_usage(p_user_id);
  update public.usage_events set user_id = null, url = null
   where user_id = p_user_id and user_id is distinct from subject_id;
end
$$;
comment on function private.take_name_out_of_usage(uuid) is
  'Makes anonymous what devices recorded in the name of an account that is deleted.';

create or replace function private.take_second_factor(p_by jsonb, p_user_id uuid, p_notice text)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_target text;
  v_ended integer;
begin
  v_target := private.require_account(p_user_id);
  if not private.drop_user_second_factor(p_user_id) then
    raise sqlstate 'PT404' using message = 'SECOND_FACTOR_NOT_FOUND';
  end if;
  v_ended := private.end_sessions(p_user_id);
  perform private.audit_by(p_by, 'remove_user_second_factor', v_target, null, jsonb_build_object('ended', v_ended));
  perform private.queue_notice(p_user_id, (select u.email from public.users u where u.id = p_user_id), p_notice);
  return jsonb_build_object('removed', true, 'ended', v_ended);
end
$$;
comment on function private.take_second_factor(jsonb, uuid, text) is
  'Removes the second factor of somebody who lost it and ends their sessions, in the name of {name, …}; queues the sealed notice. Returns {removed, ended}; raises USER_NOT_FOUND, SECOND_FACTOR_NOT_FOUND.';

create or replace function private.thaw_late_usage(p_events public.usage_events[])
returns void
language plpgsql volatile set search_path = '' set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_running constant timestamptz := date_trunc('month', now(), 'UTC');
begin
  -- Nearly always: nothing is of a month that is over.
  if not exists (select from unnest(p_events) e where e.occurred_at < v_running) then
    return;
  end if;
  perform private.thaw_usage(s.subject_id, s.month)
     from (
       select distinct e.subject_id, date_trunc('month', e.occurred_at, 'UTC') as month
         from unnest(p_events) e where e.occurred_at < v_running
        order by 1, 2
     ) s;
end
$$;
comment on function private.thaw_late_usage(public.usage_events[]) is
  'Makes room for events of months that are over, in the order of their subjects and months.';

create or replace function private.thaw_named_usage(p_user_id uuid)
returns void
language plpgsql volatile set search_path = '' set plan_cache_mode = 'force_custom_plan'
as $$
declare
  v_scope record;
begin
  -- First the lock, so that what is archived meanwhile is seen.
  perform pg_advisory_xact_lock_shared(hashtext('private.archive'));
  for v_scope in
    select distinct a.subject_id, date_trunc('month', a.since, 'UTC') as month
      from private.archived_events a
     where a.user_id = p_user_id and a.user_id is distinct from a.subject_id
     order by 1, 2
  loop
    perform private.thaw_usage(v_scope.subject_id, v_scope.month);
  end loop;
end
$$;
comment on function private.thaw_named_usage(uuid) is
  'Puts what devices recorded in an account''s name, with all of their month, back where it can be changed.';

create or replace function private.thaw_subject(p_subject_id uuid)
returns void
language plpgsql volatile set search_path = '' set plan_cache_mode = 'force_custom_plan'
as $$
declare
  v_month timestamptz;
begin
  -- First the lock, so that what is archived meanwhile is seen.
  perform pg_advisory_xact_lock_shared(hashtext('private.archive'));
  for v_month in
    select date_trunc('month', a.since, 'UTC') from private.archived_events a where a.subject_id = p_subject_id
    union
    select a.month from private.archived_rollups a where a.subject_id = p_subject_id
     order by 1
  loop
    perform private.thaw_usage(p_subject_id, v_month);
  end loop;
end
$$;
comment on function private.thaw_subject(uuid) is 'Puts all that a subject has in the archive back where it can be changed.';

-- Whoever changes something in a month that is over calls this first. The lock it shares with its like is where it meets
-- archive_month: either what it writes is seen there, or what was archived is seen here. Callers may keep generic plans, which
-- a table that is spread over several machines has none of.
create or replace function private.thaw_usage(p_subject_id uuid, p_at timestamptz)
returns void
language plpgsql volatile set search_path = '' set plan_cache_mode = 'force_custom_plan'
as $$
declare
  v_month constant timestamptz := date_trunc('month', p_at, 'UTC');
  v_until constant timestamptz := (v_month at time zone 'UTC' + interval '1 month') at time zone 'UTC';
begin
  -- The running month is never archived.
  if v_month is null or v_until > now() then
    return;
  end if;
  perform pg_advisory_xact_lock_shared(hashtext('private.archive'));
  perform from private.archived_months m where m.month = v_month;
  if not found then
    return;
  end if;
  -- One at a time for a subject and month: the next one finds nothing left to do.
  perform pg_advisory_xact_lock(hashtextextended('thaw ' || p_subject_id || v_month, 0));
  insert into public.usage_events
  select u.id, u.subject_id, u.user_id, u.device_id, u.source, u.provider, u.model, u.prompt_count, u.input_tokens,
         u.output_tokens, u.total_tokens, u.cost, u.provenance, u.period, u.url, u.occurred_at, u.created_at, u.nano_usd
    from private.unpacked_events u
   where u.subject_id = p_subject_id and u.since >= v_month and u.since < v_until;
  if found then
    delete from private.archived_events a where a.subject_id = p_subject_id and a.since >= v_month and a.since < v_until;
  end if;
  insert into public.usage_rollups
  select u.subject_id, u.bucket, u.provider, u.model, u.source, u.events, u.prompts, u.input_tokens, u.output_tokens,
         u.total_tokens, u.cost, u.nano_usd
    from private.unpacked_rollups u
   where u.subject_id = p_subject_id and u.month = v_month;
  if found then
    -- Where all names of a day were told apart they were taken away, and are those of its rollups.
    insert into private.rollup_names (subject_id, day, provider, model)
    select distinct u.subject_id, (u.bucket at time zone 'UTC')::date, u.provider, u.model
      from private.unpacked_rollups u
     where u.subject_id = p_subject_id and u.month = v_month
       and (u.bucket at time zone 'UTC')::date not in (
         select n.day from private.rollup_names n
          where n.subject_id = p_subject_id
            and n.day >= (v_month at time zone 'UTC')::date and n.day < (v_until at time zone 'UTC')::date
       );
    delete from private.archived_rollups a where a.subject_id = p_subject_id and a.month = v_month;
  end if;
end
$$;
comment on function private.thaw_usage(uuid, timestamptz) is
  'Puts what a subject has in an archived month back where it can be changed; nothing where that month is not archived.';

-- A function, as Citus reads a view over local and distributed tables whole, whatever is asked of it: readers unite usage_events
-- with this one. Its own conditions name the month and the subject, which is what the archive is packed by.
create or replace function private.unpack_events(p_from timestamptz, p_until timestamptz, p_subject_id uuid default null)
returns setof public.usage_events
language plpgsql stable set search_path = '' set plan_cache_mode = 'force_custom_plan'
as $$
begin
  if p_from >= public.archived_until() is not false then
    return;
  end if;
  return query
    select u.id, u.subject_id, u.user_id, u.device_id, u.source, u.provider, u.model, u.prompt_count, u.input_tokens,
           u.output_tokens, u.total_tokens, u.cost, u.provenance, u.period, u.url, u.occurred_at, u.created_at, u.nano_usd
      from private.unpacked_events u
     where u.since >= date_trunc('month', p_from, 'UTC') and u.since < p_until
       and u.occurred_at >= p_from and u.occurred_at < p_until
       and (p_subject_id is null or u.subject_id = p_subject_id);
end
$$;
comment on function private.unpack_events(timestamptz, timestamptz, uuid) is
  'Returns the archived events between two times, everybody''s or one subject''s; the archive is not looked at where the range begins after it.';

-- A function for the same reason as unpack_events.
create or replace function private.unpack_rollups(p_from timestamptz, p_until timestamptz, p_subject_id uuid default null)
returns setof public.usage_rollups
language plpgsql stable set search_path = '' set plan_cache_mode = 'force_custom_plan'
as $$
begin
  if p_from >= public.archived_until() is not false then
    return;
  end if;
  return query
    select u.subject_id, u.bucket, u.provider, u.model, u.source, u.events, u.prompts, u.input_tokens, u.output_tokens,
           u.total_tokens, u.cost, u.nano_usd
      from private.unpacked_rollups u
     where u.month >= date_trunc('month', p_from, 'UTC') and u.month < p_until
       and u.bucket >= p_from and u.bucket < p_until
       and (p_subject_id is null or u.subject_id = p_subject_id);
end
$$;
comment on function private.unpack_rollups(timestamptz, timestamptz, uuid) is
  'Returns the archived rollups between two times, everybody''s or one subject''s; the archive is not looked at where the range begins after it.';

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
             s.events = 0 or a.month is not null or exists (
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
    left join private.archived_months a on a.month = m.month
$$;
comment on function private.usage_months(boolean) is
  'Returns the months there are events, rollups or seals of, and whether their seal may be trusted.';

create or replace function private.user_factor_json(p_user_id uuid)
returns jsonb
language plpgsql stable set search_path = ''
as $$
begin
  return (
    select jsonb_build_object('id', f.id, 'secret', f.secret, 'confirmed', f.confirmed_at is not null)
      from private.user_second_factors f where f.user_id = p_user_id
  );
end
$$;
comment on function private.user_factor_json(uuid) is
  'Returns what a code of an account''s second factor is checked against, {id, secret, confirmed}; null without one. For the server alone.';

create or replace function private.wal_position()
returns numeric
language sql stable set search_path = ''
as $$
  select case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end - '0/0'::pg_lsn
$$;
comment on function private.wal_position() is
  'Returns how far the log of changes was written, or on a standby replayed, in bytes: a standby that is as far as its primary was has every change committed by then.';

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
  -- By its key: those who meter read no table whole, and Postgres would compile a plan that has to.
  select case new.subject_kind when 'user' then s.user_thresholds else s.device_thresholds end
    into v_thresholds from private.alert_settings s where s.id;

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
    perform private.raise_alert('balance.threshold', v_data);
  end loop;
  return new;
end
$$;
comment on function private.warn_of_pool() is 'Trigger: announces each threshold that what is handed out of a pool reaches.';

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
    short_tokens, paid_amount, currency
  )
  values (
    v_user_id, v_invoice_id, v_subscription_id, v_main.tier, v_main.renewal, v_main.starts, v_main.ends, v_main.net, v_granted,
    v_due - v_granted, (p_invoice ->> 'amount_paid')::bigint, p_invoice ->> 'currency'
  );
  update public.subscriptions s set tokens_owed = greatest(v_owed - v_main.net, 0) where s.user_id = v_user_id;
  -- Its money may have gone back before this was heard of.
  perform private.settle_return(v_user_id, v_invoice_id);
  return jsonb_build_object('outcome', 'applied', 'granted', v_granted);
end
$$;
grant execute on function public.apply_invoice(jsonb, jsonb) to service_role;
comment on function public.apply_invoice(jsonb, jsonb) is
  'Grants what a paid invoice {invoice_id, customer_id, subscription_id, amount_paid, currency, lines: [{tier, sign, proration, quantity, period_start, period_end}]} is worth, a year twelve months'' tokens: sign is 1 for a charge, -1 for a credit, 0 for what is free; times in epoch seconds. Returns {outcome}: applied with the granted tokens, kept, duplicate or unknown_customer.';

-- The long part, packing and proving, is done while everybody goes on. What they change meanwhile is noted in changed_usage, as
-- in every month that is over, and is packed again once they are locked out, which takes a moment. The seals are not renewed
-- meanwhile: that would take the notes away.
create or replace function public.archive_month(p_keep_months integer default null)
returns jsonb
language plpgsql volatile security definer set search_path = '' set statement_timeout = '60min' set lock_timeout = '5s' set jit = off
as $$
-- Definer: moves everybody's events and rollups, which no API role may.
declare
  v_month timestamptz;
  v_until timestamptz;
  v_label text;
  v_partition text;
  v_packed uuid[];
  v_again uuid[];
  v_events bigint;
  v_rollups bigint;
  v_before jsonb;
  v_is_busy boolean;
  v_is_all boolean;
begin
  -- Left alone where nobody asks for it, unless there are other machines for it.
  if p_keep_months is null and not exists (select from pg_catalog.pg_extension where extname = 'citus') then
    return jsonb_build_object('month', null, 'archived', false);
  end if;
  if not pg_try_advisory_xact_lock(hashtext('public.archive_month'))
     or not pg_try_advisory_xact_lock(hashtext('public.keep_seals')) then
    return jsonb_build_object('month', null, 'archived', false);
  end if;
  select m.month, m.until into v_month, v_until
    from private.usage_months() m
    join private.sealed_months s on s.month = m.month
   where m.is_sealed and s.fault is null
     and m.until <= date_trunc('month', now(), 'UTC') - make_interval(months => greatest(coalesce(p_keep_months, 1), 0))
     -- Keys of debits are told from their events for two days.
     and m.until <= now() - interval '3 days'
     and not exists (select from private.changed_usage c where c.month = m.month)
     and (
       exists (select from public.usage_rollups r where r.bucket >= m.month and r.bucket < m.until)
       or exists (select from public.usage_events e where e.occurred_at >= m.month and e.occurred_at < m.until)
     )
   order by m.month limit 1;
  if v_month is null then
    return jsonb_build_object('month', null, 'archived', false);
  end if;
  v_label := to_char(v_month at time zone 'UTC', 'YYYY-MM');
  select p.name into v_partition from private.usage_partitions() p where p.lower_bound = v_month;
  -- Who reads for long, such as a backup, would keep it from being emptied: then it is not even begun.
  select exists (
    select from pg_catalog.pg_locks l
     where l.relation = to_regclass('private.' || v_partition) and l.pid <> pg_backend_pid()
       and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = current_database())
  ) into v_is_busy;
  if v_is_busy then
    return jsonb_build_object('month', v_label, 'archived', false);
  end if;

  -- Of a month that is archived already, only what was thawed is packed.
  if exists (select from private.archived_months a where a.month = v_month) then
    select array_agg(distinct x.subject_id) into v_packed
      from (
        select e.subject_id from public.usage_events e where e.occurred_at >= v_month and e.occurred_at < v_until
        union all
        select r.subject_id from public.usage_rollups r where r.bucket >= v_month and r.bucket < v_until
      ) x;
  end if;
  v_events := private.pack_events(v_month, v_until, v_packed);
  v_rollups := private.pack_rollups(v_month, v_until, v_packed);
  if private.prove_archive(v_month, v_until, v_packed) > 0 then
    raise exception 'the archive of % is not what was sealed', v_label;
  end if;

  perform pg_advisory_xact_lock(hashtext('private.archive'));
  if v_partition is not null then
    execute format('lock table private.%I in access exclusive mode', v_partition);
  end if;
  -- Who has changed or has come meanwhile. Whoever has rows here has none in the archive but those written above.
  select array_agg(distinct c.subject_id) into v_again
    from private.changed_usage c
   where c.month = v_month
     and (
       v_packed is null or c.subject_id = any (v_packed)
       or exists (
         select from public.usage_rollups r where r.subject_id = c.subject_id and r.bucket >= v_month and r.bucket < v_until
       )
       or exists (
         select from public.usage_events e
          where e.subject_id = c.subject_id and e.occurred_at >= v_month and e.occurred_at < v_until
       )
     );
  if v_again is not null then
    with gone as (
      delete from private.archived_events a
       where a.subject_id = any (v_again) and a.since >= v_month and a.since < v_until returning a.events
    )
    select v_events - coalesce(sum(g.events), 0) into v_events from gone g;
    with gone as (
      delete from private.archived_rollups a where a.subject_id = any (v_again) and a.month = v_month returning a.rollups
    )
    select v_rollups - coalesce(sum(g.rollups), 0) into v_rollups from gone g;
    v_before := private.hash_subjects(v_month, v_until, v_again);
    v_events := v_events + private.pack_events(v_month, v_until, v_again);
    v_rollups := v_rollups + private.pack_rollups(v_month, v_until, v_again);
  end if;

  if v_events <> (select count(*) from public.usage_events e where e.occurred_at >= v_month and e.occurred_at < v_until) then
    raise exception 'the archive of % has another number of events', v_label;
  end if;
  if v_partition is not null then
    execute format('truncate private.%I', v_partition);
  end if;
  perform set_config('tokenledger.archiving', 'on', true);
  with gone as (
    delete from public.usage_rollups r where r.bucket >= v_month and r.bucket < v_until returning 1
  )
  select v_rollups = count(*) into v_is_all from gone g;
  perform set_config('tokenledger.archiving', '', true);
  if not v_is_all then
    raise exception 'the archive of % has another number of rollups', v_label;
  end if;
  -- From here on the month is read in the archive.
  insert into private.archived_months as a (month, events, rollups) values (v_month, v_events, v_rollups)
  on conflict (month) do update set archived_at = now(), events = a.events + excluded.events, rollups = a.rollups + excluded.rollups;
  if v_before is distinct from private.hash_subjects(v_month, v_until, v_again) then
    raise exception 'the archive of % is not what was there', v_label;
  end if;
  -- Names follow from the rollups where all of them were told apart.
  delete from private.rollup_names n
   where n.day >= (v_month at time zone 'UTC')::date and n.day < (v_until at time zone 'UTC')::date
     and (n.subject_id, n.day) not in (
       select f.subject_id, f.day from private.rollup_names f
        where f.day >= (v_month at time zone 'UTC')::date and f.day < (v_until at time zone 'UTC')::date
        group by f.subject_id, f.day having count(*) >= private.rollup_name_limit()
     );
  return jsonb_build_object('month', v_label, 'archived', true, 'events', v_events, 'rollups', v_rollups);
exception when lock_not_available then
  return jsonb_build_object('month', v_label, 'archived', false);
end
$$;
grant execute on function public.archive_month(integer) to service_role;
comment on function public.archive_month(integer) is
  'Packs the oldest sealed month that is not among the newest so many that are over, or what was thawed of one, proves it by its seal and takes it out of usage_events and usage_rollups. Returns {month, archived, events, rollups}: no month where there is nothing to do, archived false where somebody is reading it. Without p_keep_months nothing is done unless Citus is installed.';

create or replace function public.archived_rollups(p_subjects uuid[], p_from timestamptz, p_to timestamptz)
returns setof public.usage_rollups
language plpgsql stable set search_path = '' set plan_cache_mode = 'force_custom_plan'
as $$
begin
  if p_from >= public.archived_until() is not false then
    return;
  elsif has_table_privilege('public.usage_totals', 'select') then
    return query
      select u.subject_id, u.bucket, u.provider, u.model, u.source, u.events, u.prompts, u.input_tokens, u.output_tokens,
             u.total_tokens, u.cost, u.nano_usd
        from private.unpacked_rollups u
       where u.subject_id = any (p_subjects) and u.month >= date_trunc('month', p_from, 'UTC') and u.month < p_to
         and u.bucket >= p_from and u.bucket < p_to;
  else
    return query select * from public.own_archived_rollups(p_subjects, p_from, p_to);
  end if;
end
$$;
grant execute on function public.archived_rollups(uuid[], timestamptz, timestamptz) to authenticated;
comment on function public.archived_rollups(uuid[], timestamptz, timestamptz) is
  'Returns archived rollups of subjects, as far as the caller may see them, between two times.';

create or replace function public.archived_until()
returns timestamptz
language plpgsql stable security definer set search_path = '' set plan_cache_mode = 'force_generic_plan'
as $$
-- Definer: whoever lists usage must know whether there is older usage elsewhere, and no API role may read archived_months.
begin
  return (
    select (max(m.month) at time zone 'UTC' + interval '1 month') at time zone 'UTC' from private.archived_months m
  );
end
$$;
grant execute on function public.archived_until() to authenticated;
comment on function public.archived_until() is 'Returns the end of the newest month that is archived, null where none is.';

create or replace function public.archived_usage(
  p_subject_id uuid, p_limit integer, p_from timestamptz, p_to timestamptz, p_filter jsonb default '{}',
  p_at timestamptz default null, p_id uuid default null, p_is_ascending boolean default false, p_linked_to uuid default null
)
returns setof public.usage_events
language plpgsql stable set search_path = ''
as $$
begin
  if p_from >= public.archived_until() is not false then
    return;
  end if;
  -- Of everybody only for admins' functions, which have their owner's rights.
  if has_table_privilege('public.usage_totals', 'select') then
    return query
      select * from private.archived_page(
        p_subject_id, p_linked_to, null, null, p_limit, p_from, p_to, p_filter, p_at, p_id, p_is_ascending
      );
  else
    return query
      select * from public.own_archived_usage(p_subject_id, p_linked_to, p_limit, p_from, p_to, p_filter, p_at, p_id, p_is_ascending);
  end if;
end
$$;
grant execute on function public.archived_usage(uuid, integer, timestamptz, timestamptz, jsonb, timestamptz, uuid, boolean, uuid) to authenticated;
comment on function public.archived_usage(uuid, integer, timestamptz, timestamptz, jsonb, timestamptz, uuid, boolean, uuid) is
  'Returns archived events of one subject, of devices in an account''s name, or of everybody the caller may see: the newest before a place, or the oldest after it. Filters are provider, model, source, device and debits, any or those of people.';

-- Whom it is about is written down now: whoever comes to match later is not changed, as the preview did not show them.
create or replace function public.begin_bulk_change(
  p_actor jsonb, p_kind text, p_change jsonb, p_query text default null, p_filter text default null, p_key text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: reads every device and account, which no API role may.
declare
  v_chunk constant integer := 100;
  v_admin_id uuid := (p_actor ->> 'id')::uuid;
  v_request jsonb := jsonb_build_array('begin_bulk_change', p_kind, p_query, p_filter, p_change);
  v_by text := private.require_admin(p_actor);
  v_earlier jsonb;
  v_ids uuid[];
  v_id uuid;
begin
  -- Two requests with one key come one after the other.
  perform from private.admins a where a.id = v_admin_id for no key update;
  v_earlier := private.earlier_answer(v_admin_id, p_key, v_request);
  if v_earlier is not null then
    return private.preview_bulk_change(p_actor, (v_earlier ->> 'id')::uuid);
  end if;
  v_ids := array(select private.find_matches(p_kind, p_query, p_filter));
  insert into private.bulk_changes (subject_kind, change, query, filter, matched, created_by)
  values (p_kind, p_change, p_query, p_filter, cardinality(v_ids), v_by)
  returning id into v_id;
  insert into private.bulk_chunks (change_id, number, ids)
  select v_id, n, v_ids[n * v_chunk + 1:(n + 1) * v_chunk]
    from generate_series(0, (cardinality(v_ids) - 1) / v_chunk) n
   where cardinality(v_ids) > 0;
  if p_key is not null then
    perform private.remember_answer(
      v_admin_id, private.idempotency_key_hash(p_key), private.request_hash(v_request), jsonb_build_object('id', v_id)
    );
  end if;
  return private.preview_bulk_change(p_actor, v_id);
end
$$;
grant execute on function public.begin_bulk_change(jsonb, text, jsonb, text, text, text) to service_role;
comment on function public.begin_bulk_change(jsonb, text, jsonb, text, text, text) is
  'Writes down which devices or accounts match a search and what is to be done to each, and does nothing yet. Returns what bulk_change_json returns, with a preview {sample, balances, pool}; raises IDEMPOTENCY_MISMATCH.';

create or replace function public.begin_own_proof(p_caller jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: reads password hashes and secrets and counts attempts, which no API role may.
declare
  v_user_id uuid := private.lock_user(p_caller);
  v_wait integer := private.count_attempt('user:password', v_user_id::text, 10, interval '15 minutes');
begin
  if v_wait is not null then
    return jsonb_build_object('allowed', false, 'retry_after', v_wait);
  end if;
  return jsonb_build_object(
    'allowed', true,
    'email', (select u.email from public.users u where u.id = v_user_id),
    'password_hash', (select c.password_hash from private.user_credentials c where c.user_id = v_user_id),
    'factor', private.user_factor_json(v_user_id)
  );
end
$$;
grant execute on function public.begin_own_proof(jsonb) to service_role;
comment on function public.begin_own_proof(jsonb) is
  'Counts an attempt of the caller at proving who they are, before any hashing. Returns {allowed, retry_after} or {allowed, email, password_hash, factor {id, secret, confirmed}}: nulls for an account without.';

create or replace function public.begin_user_second_factor(p_caller jsonb, p_secret text, p_verified_hash text default null)
returns boolean
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes second factors, which no API role may.
declare
  v_user_id uuid := private.lock_user(p_caller);
begin
  perform private.require_own_proof(p_caller, p_verified_hash, false);
  insert into private.user_second_factors as f (user_id, secret) values (v_user_id, p_secret)
  on conflict (user_id) do update
    set id = gen_random_uuid(), secret = excluded.secret, created_at = now() where f.confirmed_at is null;
  if not found then
    raise sqlstate 'PT409' using message = 'SECOND_FACTOR_EXISTS';
  end if;
  return true;
end
$$;
grant execute on function public.begin_user_second_factor(jsonb, text, text) to service_role;
comment on function public.begin_user_second_factor(jsonb, text, text) is
  'Keeps the secret of a second factor of the caller that is still to be confirmed. Raises SECOND_FACTOR_EXISTS, PROOF_REQUIRED, INVALID_CREDENTIALS.';

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
  v_items jsonb[];
  v_refused integer;
  v_answer jsonb;
begin
  perform private.require_admin(p_actor);
  perform private.lock_for_change(p_kind, p_ids);
  v_answer := private.earlier_answer((p_actor ->> 'id')::uuid, p_key, v_request);
  if v_answer is not null then
    return v_answer;
  end if;
  v_before := private.budget_json(p_kind);
  begin
    v_items := private.change_each(p_actor, p_kind, p_ids, p_change);
    v_refused := (select count(*) from unnest(v_items) i where i ->> 'code' is not null);
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
  perform private.require_fresh_if_protected(p_caller);
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
  'Sets the password where it still is the verified one, or the first one where none was verified, and ends every other session, mailed links and, where wished, the API keys; the sealed notice to the owner is queued. Returns {ended, api_keys}: those that go on; raises INVALID_CREDENTIALS, and PROOF_REQUIRED for the first one, and for any where there is a second factor.';

create or replace function public.confirm_admin_read(p_actor jsonb)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: no API role may read admins and their sessions.
begin
  perform private.require_admin(p_actor, 'viewer');
  return jsonb_build_object('position', private.wal_position());
end
$$;
grant execute on function public.confirm_admin_read(jsonb) to service_role;
comment on function public.confirm_admin_read(jsonb) is
  'Returns {position} where the admin may still read everybody''s; raises what require_admin does. Asked on the primary before a replica is read, as confirm_own_read is.';

create or replace function public.confirm_own_read()
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: no API role may read sessions, keys and other people's devices.
declare
  v_claims constant jsonb := auth.jwt();
begin
  if v_claims ? 'device_id' then
    perform public.require_device_reader((v_claims ->> 'device_id')::uuid);
  else
    perform public.require_current_user('usage:read');
  end if;
  return jsonb_build_object('position', private.wal_position());
end
$$;
grant execute on function public.confirm_own_read() to authenticated;
comment on function public.confirm_own_read() is
  'Returns {position} where the person or device of the request''s token may still read their own; raises what require_current_user and require_device_reader do. Asked on the primary before a replica that is as far as this position, or not much behind it, is read.';

create or replace function public.confirm_user_second_factor(
  p_caller jsonb, p_factor_id uuid, p_step bigint, p_recovery_hashes text[], p_notice text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: writes second factors and sessions, which no API role may.
declare
  v_user_id uuid := private.lock_user(p_caller);
begin
  if p_caller ->> 'session_id' is null then
    raise sqlstate 'PT403' using message = 'PROOF_REQUIRED';
  end if;
  perform private.count_recorded_act(v_user_id);
  update private.user_second_factors f set confirmed_at = now(), last_step = p_step
   where f.user_id = v_user_id and f.id = p_factor_id and f.confirmed_at is null
     and f.created_at > now() - interval '1 hour';
  if not found then
    raise sqlstate 'PT404' using message = 'SECOND_FACTOR_NOT_FOUND';
  end if;
  perform private.keep_recovery_codes(v_user_id, p_recovery_hashes);
  -- The others were opened by less than is asked for from now on.
  perform private.end_sessions(v_user_id, (p_caller ->> 'session_id')::uuid);
  delete from private.login_attempts where scope = 'user:password' and key = v_user_id::text;
  perform private.audit('user:' || v_user_id, null, 'enrol_second_factor', 'user:' || v_user_id, null, null);
  perform private.queue_notice(v_user_id, (select u.email from public.users u where u.id = v_user_id), p_notice);
  return jsonb_build_object('enabled', true);
end
$$;
grant execute on function public.confirm_user_second_factor(jsonb, uuid, bigint, text[], text) to service_role;
comment on function public.confirm_user_second_factor(jsonb, uuid, bigint, text[], text) is
  'Turns the caller''s second factor on, of which a code was shown, with the digests (hex) of its recovery codes; ends every other session and queues the sealed notice. Raises SECOND_FACTOR_NOT_FOUND where none waits for its first code since an hour at most, PROOF_REQUIRED for an API key.';

-- One chunk a call, thus a transaction: debits and others who change the pool come in between. Calls at once do different chunks.
create or replace function public.continue_bulk_change(p_actor jsonb, p_id uuid)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: changes devices, accounts and balances, which no API role may.
declare
  v_change private.bulk_changes;
  v_number integer;
  v_ids uuid[];
  v_matching uuid[];
  v_items jsonb[];
  v_refused jsonb;
begin
  perform private.require_admin(p_actor);
  update private.bulk_changes c set started_at = now() where c.id = p_id and c.started_at is null and c.stopped_at is null;
  if found then
    select * into v_change from private.bulk_changes c where c.id = p_id;
    -- The audit log can never be cleaned, so it does not say what was searched for.
    perform private.audit_admin(
      p_actor, 'begin_bulk_change', 'bulk_change:' || p_id, null,
      v_change.change || jsonb_build_object(
        'kind', v_change.subject_kind, 'filter', v_change.filter, 'searched', v_change.query is not null,
        'matched', v_change.matched
      )
    );
  else
    select * into v_change from private.bulk_changes c where c.id = p_id for share;
  end if;
  if v_change.stopped_at is null then
    select k.number, k.ids into v_number, v_ids
      from private.bulk_chunks k
     where k.change_id = p_id and k.outcome is null order by k.number limit 1 for update skip locked;
  end if;
  if v_number is not null then
    perform private.lock_for_change(v_change.subject_kind, v_ids);
    -- Who does not match any more is left alone: the reason to change them is gone.
    v_matching := array(select private.find_matches(v_change.subject_kind, v_change.query, v_change.filter, v_ids));
    v_items := private.change_each(p_actor, v_change.subject_kind, v_matching, v_change.change);
    select coalesce(jsonb_agg(jsonb_build_object('id', i -> 'id', 'code', i -> 'code')), '[]') into v_refused
      from unnest(v_items) i where i ->> 'code' is not null;
    update private.bulk_chunks k
       set ids = '{}', outcome = jsonb_build_object(
             'changed', cardinality(v_items) - jsonb_array_length(v_refused),
             'skipped', cardinality(v_ids) - cardinality(v_matching), 'refused', v_refused
           )
     where k.change_id = p_id and k.number = v_number;
  end if;
  return private.bulk_change_json(p_id);
end
$$;
grant execute on function public.continue_bulk_change(jsonb, uuid) to service_role;
comment on function public.continue_bulk_change(jsonb, uuid) is
  'Does the next hundred of a bulk change, each of whom is changed, refused, or skipped where it matches no more; nothing where none is left or it was stopped. Returns what bulk_change_json returns; raises BULK_CHANGE_NOT_FOUND.';

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
  -- A key asks for no code later. What a key makes ends with it, and needs no other proof.
  if p_caller ->> 'api_key_id' is null then
    perform private.require_fresh_if_protected(p_caller);
  end if;
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
  'Keeps a new key''s SHA-256 (hex) and returns the key without it; one made by a key ends with it at the latest. The sealed notice to the owner is queued. Raises API_KEY_LIMIT beyond 50, RATE_LIMITED, PROOF_REQUIRED where there is a second factor, VALIDATION_FAILED for an end in the past.';

create or replace function public.delete_account_api_key(p_actor jsonb, p_user_id uuid, p_id uuid)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes keys, which no API role may.
declare
  v_target text;
  v_prefix text;
begin
  perform private.require_admin(p_actor);
  v_target := private.require_account(p_user_id);
  delete from private.api_keys k where k.id = p_id and k.user_id = p_user_id returning k.prefix into v_prefix;
  if not found then
    raise sqlstate 'PT404' using message = 'API_KEY_NOT_FOUND';
  end if;
  perform private.audit_admin(p_actor, 'delete_api_key', v_target, jsonb_build_object('id', p_id, 'prefix', v_prefix));
  return jsonb_build_object('id', p_id, 'deleted', true);
end
$$;
grant execute on function public.delete_account_api_key(jsonb, uuid, uuid) to service_role;
comment on function public.delete_account_api_key(jsonb, uuid, uuid) is
  'Ends one API key of an account. Returns {id, deleted}; raises USER_NOT_FOUND, API_KEY_NOT_FOUND.';

create or replace function public.delete_usage(p_caller jsonb, p_id uuid)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: events are append-only for every API role.
declare
  v_user_id uuid := private.require_user(p_caller, 'usage:write');
  v_event public.usage_events;
begin
  perform private.thaw_usage(v_user_id, private.usage_event_time(p_id));
  -- Only observed events have ids that say when they happened; what was debited has another and is not found here.
  delete from public.usage_events e
   where e.subject_id = v_user_id and e.occurred_at = private.usage_event_time(p_id) and e.id = p_id
     and e.source = 'extension' and e.cost = 0
  returning * into v_event;
  if v_event.id is null then
    raise sqlstate 'PT404' using message = 'USAGE_NOT_FOUND';
  end if;
  perform private.take_out_usage(v_event);
  return jsonb_build_object('id', p_id, 'deleted', true);
end
$$;
grant execute on function public.delete_usage(jsonb, uuid) to service_role;
comment on function public.delete_usage(jsonb, uuid) is
  'Deletes an observed event of the caller, in its rollups too. Returns {id, deleted}; raises USAGE_NOT_FOUND, also for what was debited.';

create or replace function public.device_ledger(
  p_device_id uuid, p_limit integer, p_after_at text default null, p_after_kind text default null,
  p_after_id uuid default null
)
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_at timestamptz;
  v_kind text := coalesce(p_after_kind, '');
  v_id uuid := coalesce(p_after_id, '00000000-0000-0000-0000-000000000000');
begin
  perform public.require_device_reader(p_device_id);
  v_at := coalesce(p_after_at::timestamptz, 'infinity');
  -- Each source is cut to a page by its own index before the three are put in one order.
  return (
    select coalesce(
             jsonb_agg(jsonb_strip_nulls(to_jsonb(page)) order by page.created_at desc, page.kind desc, page.id desc), '[]'
           )
      from (
        (
          select e.id, e.kind, e.amount, case when e.actor like 'admin:%' then 'admin' else 'system' end as provenance,
                 null as model, e.reference, null as status, null::timestamptz as expires_at, e.created_at
            from public.ledger_entries e
           where e.subject_id = p_device_id
             and e.created_at <= v_at and (e.created_at, e.kind, e.id) < (v_at, v_kind, v_id)
           order by e.created_at desc, e.kind desc, e.id desc
           limit p_limit
        )
        union all
        (
          select e.id, 'debit', -e.cost, e.provenance, e.model, null, null, null, e.occurred_at
            from public.usage_events e
           where e.subject_id = p_device_id and e.cost > 0
             and e.occurred_at <= v_at and (e.occurred_at, 'debit', e.id) < (v_at, v_kind, v_id)
           order by e.occurred_at desc, e.id desc
           limit p_limit
        )
        union all
        select e.id, 'debit', -e.cost, e.provenance, e.model, null, null, null, e.occurred_at
          from public.archived_usage(
            p_device_id, p_limit, '-infinity', 'infinity', '{"debits": "all"}', v_at,
            case when v_kind = 'debit' then v_id when v_kind > 'debit' then 'ffffffff-ffff-ffff-ffff-ffffffffffff' else '00000000-0000-0000-0000-000000000000' end::uuid
          ) e
        union all
        (
          select r.id, 'hold', r.amount, 'estimated', r.model, null, r.status, r.expires_at, r.created_at
            from public.reservations r
           where r.subject_id = p_device_id
             and r.created_at <= v_at and (r.created_at, 'hold', r.id) < (v_at, v_kind, v_id)
           order by r.created_at desc, r.id desc
           limit p_limit
        )
        order by created_at desc, kind desc, id desc
        limit p_limit
      ) page
  );
exception
  -- The cursor comes from the caller.
  when data_exception then
    raise sqlstate 'PT400' using message = 'VALIDATION_FAILED';
end
$$;
grant execute on function public.device_ledger(uuid, integer, text, text, uuid) to authenticated;
comment on function public.device_ledger(uuid, integer, text, text, uuid) is
  'Returns a device''s grants, debits (negative) and holds in one list, newest first, to itself or its owner; after (time, kind, id) to page on. Raises what require_device_reader does.';

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
  if not pg_try_advisory_xact_lock(hashtext('public.maintain'))
    or not pg_try_advisory_xact_lock(hashtext('public.archive_month')) or exists (
    select from pg_catalog.pg_locks l
     where l.relation = to_regclass('private.' || v_month.name) and l.pid <> pg_backend_pid()
       and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = current_database())
  ) then
    return jsonb_build_object('month', v_month.label, 'dropped', false);
  end if;
  -- Whoever is about to thaw something of it waits, and finds it gone.
  perform pg_advisory_xact_lock(hashtext('private.archive'));
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

create or replace function public.end_account_session(p_actor jsonb, p_user_id uuid, p_session_id uuid)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes sessions, which no API role may.
declare
  v_target text;
begin
  perform private.require_admin(p_actor);
  v_target := private.require_account(p_user_id);
  delete from private.sessions s where s.id = p_session_id and s.user_id = p_user_id;
  if not found then
    raise sqlstate 'PT404' using message = 'SESSION_NOT_FOUND';
  end if;
  perform private.audit_admin(p_actor, 'end_user_session', v_target, jsonb_build_object('session_id', p_session_id));
  return jsonb_build_object('ended', 1);
end
$$;
grant execute on function public.end_account_session(jsonb, uuid, uuid) to service_role;
comment on function public.end_account_session(jsonb, uuid, uuid) is
  'Ends one session of an account. Returns {ended}; raises USER_NOT_FOUND, SESSION_NOT_FOUND.';

create or replace function public.exchange_oauth_code(
  p_code_hash text, p_session jsonb, p_redirect_uri text default null, p_code_challenge text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: no API role may read codes and sessions. Returns a refusal instead of raising it, so that a code that
-- came with a wrong verifier stays used up.
declare
  v_code private.oauth_codes;
begin
  delete from private.oauth_codes c where c.code_hash = decode(p_code_hash, 'hex') returning c.* into v_code;
  -- A verifier where no challenge was given is refused too (RFC 9700, 4.8.2).
  if v_code.expires_at > now()
     and v_code.code_challenge is not distinct from p_code_challenge
     and v_code.redirect_uri = coalesce(p_redirect_uri, v_code.redirect_uri)
  then
    return private.open_session(v_code.user_id, p_session) || '{"granted": true}';
  end if;
  return '{"granted": false}';
end
$$;
grant execute on function public.exchange_oauth_code(text, jsonb, text, text) to service_role;
comment on function public.exchange_oauth_code(text, jsonb, text, text) is
  'Uses a code up: {granted: true} and what open_session returns where it is good and what it is bound to was given, or {granted: false}.';

create or replace function public.export_usage_events(
  p_limit integer, p_after_at timestamptz default '-infinity', p_after_id uuid default '00000000-0000-0000-0000-000000000000'
)
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user();
begin
  -- What counts against the person, and what devices recorded in their name. What a device did before it was linked may
  -- be somebody else's.
  return (
    select coalesce(jsonb_agg(to_jsonb(page) - 'subject_id' - 'user_id' order by page.occurred_at, page.id), '[]')
      from (
        (
          select e.* from public.usage_events e
           where e.subject_id = v_user_id
             and e.occurred_at >= p_after_at and (e.occurred_at, e.id) > (p_after_at, p_after_id)
           order by e.occurred_at, e.id
           limit p_limit
        )
        union all
        (
          select e.* from public.usage_events e
           where e.user_id = v_user_id and e.user_id is distinct from e.subject_id
             and e.occurred_at >= p_after_at and (e.occurred_at, e.id) > (p_after_at, p_after_id)
           order by e.occurred_at, e.id
           limit p_limit
        )
        union all
        select * from public.archived_usage(
          v_user_id, p_limit, p_after_at, 'infinity', p_at => p_after_at, p_id => p_after_id, p_is_ascending => true
        )
        union all
        select * from public.archived_usage(
          null, p_limit, p_after_at, 'infinity', p_at => p_after_at, p_id => p_after_id, p_is_ascending => true,
          p_linked_to => v_user_id
        )
        order by occurred_at, id
        limit p_limit
      ) page
  );
end
$$;
grant execute on function public.export_usage_events(integer, timestamptz, uuid) to authenticated;
comment on function public.export_usage_events(integer, timestamptz, uuid) is
  'Returns the usage events recorded for the caller, oldest first; after (time, id) to page on.';

create or replace function public.find_google_user(
  p_identity jsonb, p_default_tokens bigint, p_sign_up text, p_token_hash text default null, p_proof jsonb default null
)
returns jsonb
language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: writes users and identities, which no API role may. Returns an outcome where a code of the second factor was
-- counted, as that must stay.
declare
  v_user public.users := private.resolve_external_identity(p_identity, p_default_tokens, p_sign_up);
  v_proved jsonb;
begin
  if v_user.id is null then
    raise sqlstate 'PT401' using message = 'INVALID_ACCESS_TOKEN';
  end if;
  if v_user.suspended_at is not null then
    raise sqlstate 'PT403' using message = 'ACCOUNT_SUSPENDED';
  end if;
  if not private.is_google_token_proved(v_user.id, p_token_hash) then
    if p_proof is null then
      return jsonb_build_object('outcome', 'second_factor_required', 'factor', private.user_factor_json(v_user.id));
    end if;
    -- The account before what belongs to it, as where it is given another password.
    perform from public.users u where u.id = v_user.id for no key update;
    v_proved := private.prove_user_second_factor(v_user.id, p_proof);
    if v_proved ->> 'outcome' <> 'proved' then
      return v_proved;
    end if;
    insert into private.proved_google_tokens as p (token_hash, user_id) values (decode(p_token_hash, 'hex'), v_user.id)
    on conflict (token_hash) do update set user_id = excluded.user_id, expires_at = excluded.expires_at;
  end if;
  return jsonb_build_object('outcome', 'found') || private.user_json(v_user);
end
$$;
grant execute on function public.find_google_user(jsonb, bigint, text, text, jsonb) to service_role;
comment on function public.find_google_user(jsonb, bigint, text, text, jsonb) is
  'Returns the account of a person Google vouches for, made where there is none yet, with {outcome: found}. Where it has a second factor, its code must come with the access token (SHA-256, hex) once, which opens it for an hour then: returns {outcome: second_factor_required, factor {id, secret}} or what prove_user_second_factor says. Raises INVALID_ACCESS_TOKEN where the address is another person''s, ACCOUNT_SUSPENDED.';

create or replace function public.find_sign_in_challenge(p_challenge_hash text)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: reads second factors, which no API role may.
begin
  return jsonb_build_object('factor', (
    select private.user_factor_json(c.user_id)
      from private.sign_in_challenges c
     where c.challenge_hash = decode(p_challenge_hash, 'hex') and c.expires_at > now() and c.attempts < 5
  ));
end
$$;
grant execute on function public.find_sign_in_challenge(text) to service_role;
comment on function public.find_sign_in_challenge(text) is
  'Returns {factor}: what the code of a sign-in that waits (SHA-256, hex) is checked against; null for one that is unknown or over.';

create or replace function public.finish_sign_in(p_challenge_hash text, p_proof jsonb, p_session jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes sessions, challenges and counters, which no API role may. Returns an outcome instead of raising, as
-- what was counted must stay.
declare
  v_hash bytea := decode(p_challenge_hash, 'hex');
  v_user_id uuid;
  v_proved jsonb;
begin
  select c.user_id into v_user_id from private.sign_in_challenges c where c.challenge_hash = v_hash;
  -- The account before what belongs to it, as where the account is deleted or given another password.
  perform from public.users u where u.id = v_user_id for no key update;
  update private.sign_in_challenges c set attempts = c.attempts + 1
   where c.challenge_hash = v_hash and c.expires_at > now() and c.attempts < 5;
  if not found then
    return jsonb_build_object('outcome', 'ended');
  end if;
  v_proved := private.prove_user_second_factor(v_user_id, p_proof);
  if v_proved ->> 'outcome' <> 'proved' then
    return v_proved;
  end if;
  delete from private.sign_in_challenges c where c.challenge_hash = v_hash;
  return private.begin_session(v_user_id, p_session);
end
$$;
grant execute on function public.finish_sign_in(text, jsonb, jsonb) to service_role;
comment on function public.finish_sign_in(text, jsonb, jsonb) is
  'Opens the session a sign-in (SHA-256 of its challenge, hex) waits for, against a code. Returns {outcome: opened, session_id, user}; ended for one that is unknown, over, used or had five codes; or what prove_user_second_factor says. Raises ACCOUNT_SUSPENDED.';

create or replace function public.finish_user_login(
  p_user_id uuid, p_changed_at text, p_address text, p_session jsonb, p_rehashed text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes sessions and counters, which no API role may.
begin
  -- The account before its password, as where that is changed.
  perform from public.users u where u.id = p_user_id for share;
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
  'After the right password: opens a session, if the password was not changed since, and keeps a hash of it made with today''s pepper, where one is given. Returns what open_session does; raises INVALID_CREDENTIALS, ACCOUNT_SUSPENDED.';

create or replace function public.get_bulk_change(p_actor jsonb, p_id uuid)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: reads bulk changes, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  return private.bulk_change_json(p_id);
end
$$;
grant execute on function public.get_bulk_change(jsonb, uuid) to service_role;
comment on function public.get_bulk_change(jsonb, uuid) is
  'Returns how a bulk change stands, as bulk_change_json does; raises BULK_CHANGE_NOT_FOUND.';

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
      select jsonb_build_object(
               'checked_at', c.checked_at, 'milliseconds', c.milliseconds, 'discrepancies', c.discrepancies,
               'failing', to_jsonb(c.failing)
             )
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

create or replace function public.get_own_second_factor(p_caller jsonb)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: no API role may read second factors.
declare
  v_user_id uuid := private.require_user(p_caller);
begin
  return jsonb_build_object(
    'enabled', private.has_second_factor(v_user_id),
    'enabled_at', (select f.confirmed_at from private.user_second_factors f where f.user_id = v_user_id),
    'recovery_codes_left', (select count(*) from private.user_recovery_codes c where c.user_id = v_user_id)
  );
end
$$;
grant execute on function public.get_own_second_factor(jsonb) to service_role;
comment on function public.get_own_second_factor(jsonb) is
  'Returns {enabled, enabled_at, recovery_codes_left} of the caller''s second factor, and no secret.';

create or replace function public.list_account_sessions(
  p_actor jsonb, p_user_id uuid, p_limit integer, p_before_at text default null, p_before_id uuid default null
)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: reads everybody's sessions, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  perform private.account_json(p_user_id);
  return private.session_page(p_user_id, p_limit, p_before_at, p_before_id);
end
$$;
grant execute on function public.list_account_sessions(jsonb, uuid, integer, text, uuid) to service_role;
comment on function public.list_account_sessions(jsonb, uuid, integer, text, uuid) is
  'Returns where an account is signed in, newest first; before (time, id) to page on. Raises USER_NOT_FOUND.';

create or replace function public.list_accounts(
  p_actor jsonb, p_limit integer, p_sort text, p_query text default null, p_filter text default null,
  p_after_value text default null, p_after_id uuid default null
)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC' set jit = off
as $$
-- Definer: reads every account, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  return jsonb_build_object(
    'count', private.count_matches('user', p_query, p_filter),
    'users', private.account_page(p_query, p_filter, p_limit, p_sort, p_after_value, p_after_id)
  );
end
$$;
grant execute on function public.list_accounts(jsonb, integer, text, text, text, text, uuid) to service_role;
comment on function public.list_accounts(jsonb, integer, text, text, text, text, uuid) is
  'Returns accounts for an admin: {count, users}, one page of those that match a query and a filter; sort_value and id of the last row page on.';

create or replace function public.list_alerts(p_actor jsonb, p_limit integer, p_before bigint default null)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: reads private.alerts, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  return (
    select coalesce(jsonb_agg(to_jsonb(page) order by page.id desc), '[]')
      from (
        select a.id, a.type, a.data, a.occurred_at,
               case a.data ->> 'subject_kind'
                 when 'device' then (
                   select d.name from public.devices d
                    where d.id = (a.data ->> 'subject_id')::uuid and d.deleted_at is null
                 )
                 when 'user' then (select u.email from public.users u where u.id = (a.data ->> 'subject_id')::uuid)
               end as name
          from private.alerts a
         where p_before is null or a.id < p_before
         order by a.id desc
         limit p_limit
      ) page
  );
end
$$;
grant execute on function public.list_alerts(jsonb, integer, bigint) to service_role;
comment on function public.list_alerts(jsonb, integer, bigint) is
  'Returns the alerts of the last 90 days, newest first; before an id to page on: [{id, type, data, occurred_at, name}], the name of the device or account where it is still there.';

create or replace function public.list_all_usage(
  p_actor jsonb, p_limit integer, p_from text, p_to text, p_time_zone text, p_filter jsonb default '{}',
  p_before_at text default null, p_before_id uuid default null, p_user_id uuid default null
)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: an admin may ask about everybody, which no API role may.
declare
  v_subjects uuid[];
  v_range record;
  v_part tstzrange;
  v_items jsonb := '[]';
begin
  perform private.require_admin(p_actor, 'viewer');
  v_subjects := private.account_subjects(p_user_id);
  if v_subjects is not null or not p_filter ?| '{provider,model,source}' or p_filter ? 'device' then
    return public.list_usage(p_limit, p_from, p_to, p_time_zone, p_filter, p_before_at, p_before_id, v_subjects);
  end if;
  -- What few of everybody's uses have is looked for in the days that have it, the newest first.
  v_range := public.usage_range(p_from, p_to, p_time_zone);
  for v_part in
    select d.part from unnest(private.named_days(v_range.range_from, v_range.range_to, p_filter)) d(part) order by d.part desc
  loop
    exit when jsonb_array_length(v_items) >= p_limit;
    v_items := v_items || public.list_usage(
      p_limit - jsonb_array_length(v_items), lower(v_part)::text, upper(v_part)::text, 'UTC', p_filter, p_before_at,
      p_before_id, null
    );
  end loop;
  return v_items;
end
$$;
grant execute on function public.list_all_usage(jsonb, integer, text, text, text, jsonb, text, uuid, uuid) to service_role;
comment on function public.list_all_usage(jsonb, integer, text, text, text, jsonb, text, uuid, uuid) is
  'Runs list_usage for an admin: of everybody, or of one account with its devices.';

create or replace function public.list_bulk_changes(p_actor jsonb, p_kind text default null)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: reads bulk changes, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  return (
    select coalesce(jsonb_agg(private.bulk_change_json(page.id) order by page.created_at desc, page.id desc), '[]')
      from (
        select c.id, c.created_at from private.bulk_changes c
         where c.started_at is not null and (p_kind is null or c.subject_kind = p_kind)
         order by c.created_at desc, c.id desc
         limit 20
      ) page
  );
end
$$;
grant execute on function public.list_bulk_changes(jsonb, text) to service_role;
comment on function public.list_bulk_changes(jsonb, text) is
  'Returns the twenty newest bulk changes that did something, of one kind where it is named, as bulk_change_json returns them.';

create or replace function public.list_devices(
  p_actor jsonb, p_limit integer, p_sort text, p_query text default null, p_filter text default null,
  p_after_value text default null, p_after_id uuid default null
)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC' set jit = off
as $$
-- Definer: reads every device, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  return jsonb_build_object(
    'count', private.count_matches('device', p_query, p_filter),
    'devices', private.device_page(p_query, p_limit, p_sort, p_after_value, p_after_id, p_filter)
  );
end
$$;
grant execute on function public.list_devices(jsonb, integer, text, text, text, text, uuid) to service_role;
comment on function public.list_devices(jsonb, integer, text, text, text, text, uuid) is
  'Returns devices for an admin: {count, devices}, one page of those that match a query and a filter; sort_value and id of the last row page on.';

create or replace function public.list_sessions(
  p_caller jsonb, p_limit integer, p_before_at text default null, p_before_id uuid default null
)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: no API role may read sessions.
begin
  return private.session_page(
    private.require_user(p_caller), p_limit, p_before_at, p_before_id, (p_caller ->> 'session_id')::uuid
  );
end
$$;
grant execute on function public.list_sessions(jsonb, integer, text, uuid) to service_role;
comment on function public.list_sessions(jsonb, integer, text, uuid) is
  'Returns the account''s running sessions, newest first; before (time, id) to page on.';

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
  delete from private.alerts where occurred_at < now() - interval '90 days';
  delete from private.bulk_changes where created_at < now() - interval '30 days';
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
               public.own_last_use(d.id) as last_used_at
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

create or replace function public.my_invoice(p_payment_id uuid)
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
declare
  v_user_id uuid := public.require_current_user();
begin
  return jsonb_build_object('invoice_id', (
    select g.stripe_invoice_id from public.subscription_grants g where g.user_id = v_user_id and g.id = p_payment_id
  ));
end
$$;
grant execute on function public.my_invoice(uuid) to authenticated;
comment on function public.my_invoice(uuid) is 'Returns {invoice_id}: Stripe''s id of the invoice of one of the caller''s payments, null for another.';

create or replace function public.my_ledger(
  p_limit integer, p_after_at text default null, p_after_kind text default null, p_after_id uuid default null
)
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user('usage:read');
  v_at timestamptz;
  v_kind text := coalesce(p_after_kind, '');
  v_id uuid := coalesce(p_after_id, '00000000-0000-0000-0000-000000000000');
begin
  v_at := coalesce(p_after_at::timestamptz, 'infinity');
  -- Each source is cut to a page by its own index before the three are put in one order.
  return (
    select coalesce(
             jsonb_agg(jsonb_strip_nulls(to_jsonb(page)) order by page.created_at desc, page.kind desc, page.id desc), '[]'
           )
      from (
        (
          -- Who did it is told, which admin it was is not.
          select e.id, e.kind, e.amount, case when e.actor like 'admin:%' then 'admin' else 'system' end as provenance,
                 null as model, null as provider, null as source, e.reference, null as status,
                 null::timestamptz as expires_at, e.created_at
            from public.ledger_entries e
           where e.subject_id = v_user_id
             and e.created_at <= v_at and (e.created_at, e.kind, e.id) < (v_at, v_kind, v_id)
           order by e.created_at desc, e.kind desc, e.id desc
           limit p_limit
        )
        union all
        (
          select e.id, 'debit', -e.cost, e.provenance, e.model, e.provider, e.source, null, null, null, e.occurred_at
            from public.usage_events e
           where e.subject_id = v_user_id and e.cost > 0 and e.source <> 'device'
             and e.occurred_at <= v_at and (e.occurred_at, 'debit', e.id) < (v_at, v_kind, v_id)
           order by e.occurred_at desc, e.id desc
           limit p_limit
        )
        union all
        select e.id, 'debit', -e.cost, e.provenance, e.model, e.provider, e.source, null, null, null, e.occurred_at
          from public.archived_usage(
            v_user_id, p_limit, '-infinity', 'infinity', '{"debits": "people"}', v_at,
            case when v_kind = 'debit' then v_id when v_kind > 'debit' then 'ffffffff-ffff-ffff-ffff-ffffffffffff' else '00000000-0000-0000-0000-000000000000' end::uuid
          ) e
        union all
        (
          select r.id, 'hold', r.amount, 'estimated', r.model, null, null, null, r.status, r.expires_at, r.created_at
            from public.reservations r
           where r.subject_id = v_user_id
             and r.created_at <= v_at and (r.created_at, 'hold', r.id) < (v_at, v_kind, v_id)
           order by r.created_at desc, r.id desc
           limit p_limit
        )
        order by created_at desc, kind desc, id desc
        limit p_limit
      ) page
  );
exception
  -- The cursor comes from the caller.
  when data_exception then
    raise sqlstate 'PT400' using message = 'VALIDATION_FAILED';
end
$$;
grant execute on function public.my_ledger(integer, text, text, uuid) to authenticated;
comment on function public.my_ledger(integer, text, text, uuid) is
  'Returns the caller''s grants and corrections, debits (negative) and holds in one list, newest first; after (time, kind, id) to page on.';

create or replace function public.my_payments(p_limit integer, p_before_at text default null, p_before_id uuid default null)
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user();
begin
  return (
    select coalesce(jsonb_agg(to_jsonb(page) order by page.paid_at desc, page.id desc), '[]')
      from (
        select g.id, g.created_at as paid_at, g.tier, g.renewal, g.period_start, g.period_end, g.paid_amount as amount,
               g.currency, g.net_tokens as tokens_bought, g.granted_tokens as tokens_granted,
               g.taken_tokens as tokens_taken_back
          from public.subscription_grants g
         where g.user_id = v_user_id
           and (p_before_id is null or (g.created_at, g.id) < (p_before_at::timestamptz, p_before_id))
         order by g.created_at desc, g.id desc
         limit p_limit
      ) page
  );
exception
  -- The cursor comes from the caller.
  when data_exception then
    raise sqlstate 'PT400' using message = 'VALIDATION_FAILED';
end
$$;
grant execute on function public.my_payments(integer, text, uuid) to authenticated;
comment on function public.my_payments(integer, text, uuid) is
  'Returns what the caller paid for and what each payment granted, newest first; before (time, id) to page on.';

-- Rollups know quarter hours; the rest of the first one is counted from the debits themselves.
create or replace function public.my_tokens_used(p_since timestamptz)
returns bigint
language sql stable security invoker set search_path = ''
as $$
  select coalesce(sum(parts.cost), 0)::bigint
    from (
      select public.require_current_user() as user_id,
             date_bin('15 minutes', p_since + interval '15 minutes' - interval '1 microsecond', 'epoch') as quarter
    ) own
    cross join lateral (
      select r.cost from public.usage_rollups r
       where r.subject_id = own.user_id and r.bucket >= own.quarter and r.source <> 'device'
      union all
      select r.cost from public.archived_rollups(array[own.user_id], own.quarter, 'infinity') r where r.source <> 'device'
      union all
      select e.cost
        from public.archived_usage(own.user_id, 2147483647, p_since, own.quarter, '{"debits": "people"}') e
      union all
      select e.cost from public.usage_events e
       where e.subject_id = own.user_id and e.cost > 0 and e.source <> 'device'
         and e.occurred_at >= p_since and e.occurred_at < own.quarter
    ) parts
$$;
grant execute on function public.my_tokens_used(timestamptz) to authenticated;
comment on function public.my_tokens_used(timestamptz) is 'Returns tokens debited from the caller''s balance since a time.';

create or replace function public.own_archived_rollups(p_subjects uuid[], p_from timestamptz, p_to timestamptz)
returns setof public.usage_rollups
language plpgsql stable security definer set search_path = '' set plan_cache_mode = 'force_custom_plan'
as $$
-- Definer: the archive has no row-level security of its own, so this says whose rows they are, as the policy of
-- usage_rollups does.
declare
  v_user_id constant uuid := public.current_user_id();
  v_device_id constant uuid := public.current_device_id();
begin
  return query
    select u.subject_id, u.bucket, u.provider, u.model, u.source, u.events, u.prompts, u.input_tokens, u.output_tokens,
           u.total_tokens, u.cost, u.nano_usd
      from private.unpacked_rollups u
     where u.subject_id = any (
             array(
               select s.id from unnest(p_subjects) s(id) where s.id in (v_user_id, v_device_id)
               union
               select d.id from public.devices d where d.user_id = v_user_id and d.id = any (p_subjects)
             )
           )
       and u.month >= date_trunc('month', p_from, 'UTC') and u.month < p_to and u.bucket >= p_from and u.bucket < p_to;
end
$$;
grant execute on function public.own_archived_rollups(uuid[], timestamptz, timestamptz) to authenticated;
comment on function public.own_archived_rollups(uuid[], timestamptz, timestamptz) is
  'Returns archived rollups of those of the subjects that the caller may see, between two times.';

create or replace function public.own_archived_usage(
  p_subject_id uuid, p_linked_to uuid, p_limit integer, p_from timestamptz, p_to timestamptz, p_filter jsonb,
  p_at timestamptz, p_id uuid, p_is_ascending boolean
)
returns setof public.usage_events
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: the archive has no row-level security of its own, so this says whose rows they are, as the policies of
-- usage_events do.
declare
  v_user_id constant uuid := public.current_user_id();
begin
  return query
    select * from private.archived_page(
      p_subject_id, p_linked_to, array_remove(array[v_user_id, public.current_device_id()], null),
      array(select d.id from public.devices d where d.user_id = v_user_id),
      p_limit, p_from, p_to, p_filter, p_at, p_id, p_is_ascending
    );
end
$$;
grant execute on function public.own_archived_usage(uuid, uuid, integer, timestamptz, timestamptz, jsonb, timestamptz, uuid, boolean) to authenticated;
comment on function public.own_archived_usage(uuid, uuid, integer, timestamptz, timestamptz, jsonb, timestamptz, uuid, boolean) is
  'Returns archived events the caller may see: of a subject, or of devices in an account''s name, before or after a place.';

create or replace function public.own_last_use(p_device_id uuid)
returns timestamptz
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: the archive has no row-level security of its own, so this says whose device it is.
begin
  return (
    select private.last_used_at(d.id) from public.devices d
     where d.id = p_device_id and d.user_id = public.current_user_id()
  );
end
$$;
grant execute on function public.own_last_use(uuid) to authenticated;
comment on function public.own_last_use(uuid) is 'Returns the quarter hour of the last use of a device of the caller''s, null where there was none.';

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
    perform private.thaw_late_usage(v_counted);
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
  'Creates an account with a password where p_sign_up (open, verified, invite, closed) or an invitation lets it, and logs it in; its default tokens come at once where sign-up is open, else with the proof of the address. The sealed mail with the link is queued, at most 3 in 15 minutes to one address. Returns what open_session does; raises SIGNUP_CLOSED, INVITATION_REQUIRED, INVITATION_INVALID, EMAIL_TAKEN.';

create or replace function public.remove_person_second_factor(p_person uuid, p_why text default null)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
begin
  if not private.has_second_factor(private.require_hand_person(p_person)) then
    return jsonb_build_object('removed', false, 'ended', 0);
  end if;
  return private.take_second_factor(private.by_hand(p_why), p_person, null);
end
$$;
comment on function public.remove_person_second_factor(uuid, text) is
  'For the SQL editor: removes the second factor of a person who lost it, ends their sessions, with an audit line. Does nothing where there is none. Returns {removed, ended}.';

create or replace function public.remove_user_second_factor(
  p_caller jsonb, p_proof jsonb, p_verified_hash text default null, p_notice text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes second factors, which no API role may. Returns an outcome, as what was counted must stay.
declare
  v_user_id uuid := private.lock_user(p_caller);
  v_proved jsonb;
begin
  perform private.require_own_proof(p_caller, p_verified_hash, true);
  perform private.count_recorded_act(v_user_id);
  v_proved := private.prove_user_second_factor(v_user_id, p_proof);
  if v_proved ->> 'outcome' = 'proved' then
    perform private.drop_user_second_factor(v_user_id);
    perform private.audit('user:' || v_user_id, null, 'remove_second_factor', 'user:' || v_user_id, null, null);
    perform private.queue_notice(v_user_id, (select u.email from public.users u where u.id = v_user_id), p_notice);
  end if;
  return v_proved;
end
$$;
grant execute on function public.remove_user_second_factor(jsonb, jsonb, text, text) to service_role;
comment on function public.remove_user_second_factor(jsonb, jsonb, text, text) is
  'Turns the caller''s second factor off, against a code of it and the password, or a fresh proof where there is none; queues the sealed notice. Returns what prove_user_second_factor says; raises PROOF_REQUIRED, INVALID_CREDENTIALS.';

create or replace function public.renew_proof(
  p_caller jsonb, p_verified_hash text default null, p_code_hash text default null, p_proof jsonb default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: reads credentials and codes and writes sessions, which no API role may. Returns an outcome where a code of
-- the second factor was counted, as that must stay.
declare
  v_user_id uuid := private.lock_user(p_caller);
  v_session_id uuid := (p_caller ->> 'session_id')::uuid;
  v_proved jsonb;
begin
  if v_session_id is null then
    raise sqlstate 'PT400' using message = 'NO_SESSION';
  end if;
  if private.has_second_factor(v_user_id) then
    -- Before the mailed code, which a wrong one must not use up.
    if p_proof is null then
      return jsonb_build_object('outcome', 'second_factor_required');
    end if;
    v_proved := private.prove_user_second_factor(v_user_id, p_proof);
    if v_proved ->> 'outcome' <> 'proved' then
      return v_proved;
    end if;
  end if;
  if p_verified_hash is not null then
    -- The password that was checked may have been changed meanwhile.
    perform from private.user_credentials c where c.user_id = v_user_id and c.password_hash = p_verified_hash;
  else
    delete from private.proof_codes c
     where c.session_id = v_session_id and c.code_hash = decode(p_code_hash, 'hex') and c.expires_at > now();
  end if;
  if not found then
    raise sqlstate 'PT401' using message = 'INVALID_CREDENTIALS';
  end if;
  update private.sessions set proved_at = now() where id = v_session_id;
  delete from private.login_attempts where scope = 'user:password' and key = v_user_id::text;
  return jsonb_build_object('outcome', 'proved');
end
$$;
grant execute on function public.renew_proof(jsonb, text, text, jsonb) to service_role;
comment on function public.renew_proof(jsonb, text, text, jsonb) is
  'Marks the calling session as proved now, after its owner''s password was verified or with a mailed code (HMAC, hex), which is used up, and where there is a second factor with a code of that. Returns {outcome: proved}, second_factor_required, or what prove_user_second_factor says; raises NO_SESSION, INVALID_CREDENTIALS.';

create or replace function public.renew_recovery_codes(
  p_caller jsonb, p_proof jsonb, p_recovery_hashes text[], p_verified_hash text default null, p_notice text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes recovery codes, which no API role may. Returns an outcome, as what was counted must stay.
declare
  v_user_id uuid := private.lock_user(p_caller);
  v_proved jsonb;
begin
  perform private.require_own_proof(p_caller, p_verified_hash, true);
  perform private.count_recorded_act(v_user_id);
  v_proved := private.prove_user_second_factor(v_user_id, p_proof);
  if v_proved ->> 'outcome' = 'proved' then
    perform private.keep_recovery_codes(v_user_id, p_recovery_hashes);
    perform private.audit('user:' || v_user_id, null, 'renew_recovery_codes', 'user:' || v_user_id, null, null);
    perform private.queue_notice(v_user_id, (select u.email from public.users u where u.id = v_user_id), p_notice);
  end if;
  return v_proved;
end
$$;
grant execute on function public.renew_recovery_codes(jsonb, jsonb, text[], text, text) to service_role;
comment on function public.renew_recovery_codes(jsonb, jsonb, text[], text, text) is
  'Replaces the caller''s recovery codes, against a code and the password, or a fresh proof where there is none; queues the sealed notice. Returns what prove_user_second_factor says; raises PROOF_REQUIRED, INVALID_CREDENTIALS.';

create or replace function public.replication_state()
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: no API role may read which migrations ran.
declare
  v_system text;
begin
  -- Not every host lets its users ask.
  if has_function_privilege('pg_control_system()', 'execute') then
    select c.system_identifier::text into v_system from pg_control_system() c;
  end if;
  return jsonb_build_object(
    'is_standby', pg_is_in_recovery(), 'position', private.wal_position(), 'system', v_system,
    'version', (select max(m.version) from supabase_migrations.schema_migrations m)
  );
end
$$;
grant execute on function public.replication_state() to service_role;
comment on function public.replication_state() is
  'Returns {is_standby, position, system, version}: how far the log of changes is, which cluster it is of (null where that may not be asked), and the newest migration. The server compares what a read replica says with what the primary says.';

create or replace function public.sign_in_with_provider(
  p_identity jsonb, p_default_tokens bigint, p_sign_up text, p_session jsonb
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes users, identities and sessions, which no API role may.
declare
  v_user public.users := private.resolve_external_identity(p_identity, p_default_tokens, p_sign_up);
begin
  if v_user.id is null then
    raise sqlstate 'PT401' using message = 'INVALID_CREDENTIALS';
  end if;
  return private.open_session(v_user.id, p_session);
end
$$;
grant execute on function public.sign_in_with_provider(jsonb, bigint, text, jsonb) to service_role;
comment on function public.sign_in_with_provider(jsonb, bigint, text, jsonb) is
  'Opens a session for a provider''s identity {provider, subject, email, name, picture}. Returns what open_session does; raises INVALID_CREDENTIALS, and SIGNUP_CLOSED or INVITATION_REQUIRED for somebody new.';

create or replace function public.stop_bulk_change(p_actor jsonb, p_id uuid)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes bulk changes, which no API role may.
declare
  v_stopped jsonb;
begin
  perform private.require_admin(p_actor);
  -- Waits for the chunk that is being done: after the answer nothing changes any more.
  perform from private.bulk_changes c where c.id = p_id for update;
  v_stopped := private.bulk_change_json(p_id);
  if v_stopped ->> 'state' in ('done', 'stopped') then
    return v_stopped;
  end if;
  update private.bulk_changes c set stopped_at = now() where c.id = p_id;
  if v_stopped ->> 'state' = 'running' then
    perform private.audit_admin(
      p_actor, 'stop_bulk_change', 'bulk_change:' || p_id, null,
      jsonb_build_object('changed', v_stopped -> 'changed', 'left', v_stopped -> 'left')
    );
  end if;
  return private.bulk_change_json(p_id);
end
$$;
grant execute on function public.stop_bulk_change(jsonb, uuid) to service_role;
comment on function public.stop_bulk_change(jsonb, uuid) is
  'Gives up what is left of a bulk change; what was done stays. Returns what bulk_change_json returns; raises BULK_CHANGE_NOT_FOUND.';

create or replace function public.take_account_second_factor(p_actor jsonb, p_user_id uuid, p_notice text default null)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes second factors and sessions, which no API role may.
begin
  return private.take_second_factor(private.require_admin_by(p_actor), p_user_id, p_notice);
end
$$;
grant execute on function public.take_account_second_factor(jsonb, uuid, text) to service_role;
comment on function public.take_account_second_factor(jsonb, uuid, text) is
  'Removes the second factor of an account whose owner lost it, for an operator or owner, and ends its sessions; queues the sealed notice. Returns {removed, ended}; raises USER_NOT_FOUND, SECOND_FACTOR_NOT_FOUND.';

create or replace function public.usage_page(
  p_subject_id uuid, p_limit integer, p_from timestamptz, p_to timestamptz, p_filter jsonb,
  p_before_at timestamptz, p_before_id uuid
)
returns setof public.usage_events
language plpgsql stable set search_path = '' set plan_cache_mode = 'force_custom_plan'
as $$
declare
  v_archived_until constant timestamptz := public.archived_until();
  v_page public.usage_events[];
begin
  v_page := array(
    select u from public.usage_events u
     where (p_subject_id is null or u.subject_id = p_subject_id)
       and u.occurred_at >= p_from and u.occurred_at < p_to
       -- The first of the two leaves out whole months, the second one begins at the place itself.
       and u.occurred_at <= coalesce(p_before_at, 'infinity')
       and (p_before_id is null or (u.occurred_at, u.id) < (p_before_at, p_before_id))
       and (p_filter ->> 'provider' is null or u.provider = p_filter ->> 'provider')
       and (p_filter ->> 'model' is null or u.model = lower(btrim(p_filter ->> 'model')))
       and (p_filter ->> 'source' is null or u.source = p_filter ->> 'source')
       and (p_filter ->> 'device' is null or u.device_id = (p_filter ->> 'device')::uuid)
     order by u.occurred_at desc, u.id desc
     limit p_limit
  );
  return query select u.* from unnest(v_page) u;
  -- Events of archived months that lie here came late: others may lie between them.
  if p_from < v_archived_until and (cardinality(v_page) < p_limit or v_page[p_limit].occurred_at < v_archived_until) then
    return query
      select * from public.archived_usage(
        p_subject_id, p_limit, case when cardinality(v_page) < p_limit then p_from else greatest(p_from, v_page[p_limit].occurred_at) end,
        p_to, p_filter, p_before_at, p_before_id
      );
  end if;
end
$$;
grant execute on function public.usage_page(uuid, integer, timestamptz, timestamptz, jsonb, timestamptz, uuid) to authenticated;
comment on function public.usage_page(uuid, integer, timestamptz, timestamptz, jsonb, timestamptz, uuid) is
  'Returns at least the newest events of one subject, or of everybody the caller may see, before a place, in no order.';

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
  v_split date[];
  v_greater timestamptz[];
  v_lesser tstzrange[];
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
            from (
              select * from public.usage_rollups h
               where h.subject_id = any (p_subjects) and h.bucket >= p_from and h.bucket < p_to
              union all
              select * from public.archived_rollups(p_subjects, p_from, p_to)
            ) r
           where r.subject_id = any (p_subjects) and r.bucket >= p_from and r.bucket < p_to
             and (v_only_provider is null or r.provider = v_only_provider)
             and (v_only_model is null or r.model = v_only_model)
             and (v_only_source is null or r.source = v_only_source)
           group by 1, 2, 3, 4, 5
        ) s
        left join lateral (select v.id, v.user_id from public.devices v where v.id = s.subject_id offset 0) d on true;
    return;
  end if;
  -- Days that are summed up, where no period begins within one. Where one does, the day's sum is the greater part's, and what
  -- the lesser part adds up to is taken from that. The rest is read by the quarter hour.
  if v_summed then
    select array_agg(d.day) filter (where d.lesser is null), array_agg(d.day) filter (where d.lesser is not null),
           array_agg(d.greater) filter (where d.lesser is not null), array_agg(d.lesser) filter (where d.lesser is not null),
           tstzmultirange(tstzrange(p_from, p_to)) - coalesce(range_agg(tstzrange(d.starts, d.ends)), '{}'::tstzmultirange)
      into v_days, v_split, v_greater, v_lesser, v_rest
      from (
        select s.*, case when p.start - s.starts > s.ends - p.start then s.starts else p.start end as greater,
               case
                 when p.start - s.starts > s.ends - p.start then tstzrange(p.start, s.ends)
                 when p.start > s.starts then tstzrange(s.starts, p.start)
               end as lesser,
               width_bucket(s.ends - interval '1 microsecond', p_starts) - width_bucket(s.starts, p_starts) as begun
          from (
            select c.day, c.day::timestamp at time zone 'UTC' as starts, (c.day + 1)::timestamp at time zone 'UTC' as ends
              from private.summed_days c
             where c.summed_at is not null
               and c.day >= (p_from at time zone 'UTC')::date and c.day < (p_to at time zone 'UTC')::date
               and not exists (select from private.changed_days n where n.day = c.day)
          ) s
          left join lateral (
            select max(b.start) as start from unnest(p_starts) b(start) where b.start > s.starts and b.start < s.ends
          ) p on true
      ) d
     where d.starts >= p_from and (d.lesser is null or d.begun = 1 and not v_is_total);
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
          select x.greater, d.provider, d.model, d.source, d.events, d.prompts, d.input_tokens, d.output_tokens,
                 d.total_tokens, d.cost, d.nano_usd
            from unnest($6, $7) x(day, greater) join private.daily_usage d on d.day = x.day
          union all
          select case when k.factor = 1 then l.bucket else x.greater end, l.provider, l.model, l.source, k.factor * l.events,
                 k.factor * l.prompts, k.factor * l.input_tokens, k.factor * l.output_tokens, k.factor * l.total_tokens,
                 k.factor * l.cost, k.factor * l.nano_usd
            from unnest($7, $8) x(greater, lesser)
           cross join lateral (
             select * from private.quarter_hour_usage q where q.bucket >= lower(x.lesser) and q.bucket < upper(x.lesser) offset 0
           ) l
           cross join (values (1), (-1)) k(factor)
          union all
          select u.bucket, %s, u.events, u.prompts, u.input_tokens, u.output_tokens, u.total_tokens, u.cost, u.nano_usd
            from unnest($5) x(part)
           cross join lateral (
             select * from %s l where l.bucket >= lower(x.part) and l.bucket < upper(x.part) %s offset 0
           ) u
        $source$,
        case when v_is_total then 'null, null, null' else 'u.provider, u.model, u.source' end,
        case when v_is_total then 'public.usage_totals' else 'public.usage_rollups' end,
        case when not v_is_total then 'union all select * from private.unpack_rollups(lower(x.part), upper(x.part))' else '' end
      )
      when has_table_privilege('public.usage_totals', 'select') then
        $source$
          select * from public.usage_rollups u where u.bucket >= $2 and u.bucket < $3
          union all
          select * from private.unpack_rollups($2, $3)
        $source$
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
  using p_starts, p_from, p_to, v_days, v_rest, v_split, v_greater, v_lesser;
end
$$;
grant execute on function public.usage_sums(uuid[], text[], timestamptz[], timestamptz, timestamptz, jsonb) to authenticated;
comment on function public.usage_sums(uuid[], text[], timestamptz[], timestamptz, timestamptz, jsonb) is
  'Returns what the rollups of subjects, or of everybody the caller may see, add up to in a range, filtered by any of provider, model, source: by the named ones of provider, model, source, device, user (the others are null) and by period, the number of the last of its starts that a use does not come before, 0 where there are none.';

create or replace view private.unpacked_events with (security_invoker = true) as
  select u.id, a.subject_id, a.user_id, a.device_id, a.source, a.provider, a.model, a.prompt_count,
         coalesce(u.input, a.input_tokens[1], 0) as input_tokens, coalesce(u.output, a.output_tokens[1], 0) as output_tokens,
         coalesce(
           u.total, a.total_tokens[1], coalesce(u.input, a.input_tokens[1], 0) + coalesce(u.output, a.output_tokens[1], 0)
         ) as total_tokens,
         coalesce(u.cost, a.costs[1], 0) as cost, a.provenance, a.period,
         case when cardinality(a.urls) = 1 then a.urls[1] else u.url end as url, u.occurred as occurred_at,
         coalesce(u.created, u.occurred) as created_at,
         case when cardinality(a.nano_usd) = 1 then a.nano_usd[1] else u.nano_usd end as nano_usd, a.since, a.days
    from private.archived_events a
   cross join lateral unnest(
     a.ids, a.occurred, a.created, a.input_tokens, a.output_tokens, a.total_tokens, a.costs, a.nano_usd, a.urls
   ) as u(id, occurred, created, input, output, total, cost, nano_usd, url);
comment on view private.unpacked_events is 'Archived usage events as rows.';
comment on column private.unpacked_events.id is 'The event''s id.';
comment on column private.unpacked_events.subject_id is 'The device or user whose balance the event counts against.';
comment on column private.unpacked_events.user_id is 'The account behind it, if known.';
comment on column private.unpacked_events.device_id is 'The device behind it, if any.';
comment on column private.unpacked_events.source is 'Which API recorded it: device, extension, tracker, chat or api.';
comment on column private.unpacked_events.provider is 'The AI provider, unknown where the caller names none.';
comment on column private.unpacked_events.model is 'The model, trimmed and in lower case.';
comment on column private.unpacked_events.prompt_count is 'Prompts the event stands for.';
comment on column private.unpacked_events.input_tokens is 'Language-model tokens sent, 0 where not reported.';
comment on column private.unpacked_events.output_tokens is 'Language-model tokens received, 0 where not reported.';
comment on column private.unpacked_events.total_tokens is 'Language-model tokens altogether.';
comment on column private.unpacked_events.cost is 'What the event debited from the balance.';
comment on column private.unpacked_events.provenance is 'client_reported, provider_final or estimated.';
comment on column private.unpacked_events.period is 'The subject''s budget period at the time.';
comment on column private.unpacked_events.url is 'The page it happened on, without query and fragment.';
comment on column private.unpacked_events.occurred_at is 'When the use happened.';
comment on column private.unpacked_events.created_at is 'When the event was recorded.';
comment on column private.unpacked_events.nano_usd is 'What upstream charges for it, in nano-dollars (10^-9 US dollars); null where that is not known.';
comment on column private.unpacked_events.since is 'Start of the month or day they are packed by.';
comment on column private.unpacked_events.days is 'The days of the month that those packed with it happened on.';

create or replace view private.every_event with (security_invoker = true) as
  select e.id, e.subject_id, e.user_id, e.device_id, e.source, e.provider, e.model, e.prompt_count, e.input_tokens,
         e.output_tokens, e.total_tokens, e.cost, e.provenance, e.period, e.url, e.occurred_at, e.created_at, e.nano_usd,
         e.occurred_at as since
    from public.usage_events e
  union all
  select u.id, u.subject_id, u.user_id, u.device_id, u.source, u.provider, u.model, u.prompt_count, u.input_tokens,
         u.output_tokens, u.total_tokens, u.cost, u.provenance, u.period, u.url, u.occurred_at, u.created_at, u.nano_usd,
         u.since
    from private.unpacked_events u;
comment on view private.every_event is 'Usage events, archived or not.';
comment on column private.every_event.id is 'The event''s id.';
comment on column private.every_event.subject_id is 'The device or user whose balance the event counts against.';
comment on column private.every_event.user_id is 'The account behind it, if known.';
comment on column private.every_event.device_id is 'The device behind it, if any.';
comment on column private.every_event.source is 'Which API recorded it: device, extension, tracker, chat or api.';
comment on column private.every_event.provider is 'The AI provider, unknown where the caller names none.';
comment on column private.every_event.model is 'The model, trimmed and in lower case.';
comment on column private.every_event.prompt_count is 'Prompts the event stands for.';
comment on column private.every_event.input_tokens is 'Language-model tokens sent, 0 where not reported.';
comment on column private.every_event.output_tokens is 'Language-model tokens received, 0 where not reported.';
comment on column private.every_event.total_tokens is 'Language-model tokens altogether.';
comment on column private.every_event.cost is 'What the event debited from the balance.';
comment on column private.every_event.provenance is 'client_reported, provider_final or estimated.';
comment on column private.every_event.period is 'The subject''s budget period at the time.';
comment on column private.every_event.url is 'The page it happened on, without query and fragment.';
comment on column private.every_event.occurred_at is 'When the use happened.';
comment on column private.every_event.created_at is 'When the event was recorded.';
comment on column private.every_event.nano_usd is 'What upstream charges for it, in nano-dollars (10^-9 US dollars); null where that is not known.';
comment on column private.every_event.since is 'When it happened, or the start of the month or day it is packed by.';

create or replace view private.unpacked_rollups with (security_invoker = true) as
  select a.subject_id, a.month + u.quarter * interval '15 minutes' as bucket, a.provider, a.model, a.source,
         coalesce(u.events, a.events[1], 1) as events,
         coalesce(u.prompts, a.prompts[1], u.events, a.events[1], 1) as prompts,
         coalesce(u.input, a.input_tokens[1], 0) as input_tokens, coalesce(u.output, a.output_tokens[1], 0) as output_tokens,
         coalesce(
           u.total, a.total_tokens[1], coalesce(u.input, a.input_tokens[1], 0) + coalesce(u.output, a.output_tokens[1], 0)
         ) as total_tokens,
         coalesce(u.cost, a.costs[1], 0) as cost, coalesce(u.nano_usd, a.nano_usd[1], 0) as nano_usd, a.month
    from private.archived_rollups a
   cross join lateral unnest(
     a.quarters, a.events, a.prompts, a.input_tokens, a.output_tokens, a.total_tokens, a.costs, a.nano_usd
   ) as u(quarter, events, prompts, input, output, total, cost, nano_usd);
comment on view private.unpacked_rollups is 'Archived rollups as rows.';
comment on column private.unpacked_rollups.subject_id is 'The device or user.';
comment on column private.unpacked_rollups.bucket is 'Start of the quarter hour (UTC).';
comment on column private.unpacked_rollups.provider is 'The AI provider.';
comment on column private.unpacked_rollups.model is 'The model.';
comment on column private.unpacked_rollups.source is 'Which API recorded the events.';
comment on column private.unpacked_rollups.events is 'Number of events.';
comment on column private.unpacked_rollups.prompts is 'Sum of their prompts.';
comment on column private.unpacked_rollups.input_tokens is 'Sum of their input tokens.';
comment on column private.unpacked_rollups.output_tokens is 'Sum of their output tokens.';
comment on column private.unpacked_rollups.total_tokens is 'Sum of their tokens.';
comment on column private.unpacked_rollups.cost is 'Sum of what they debited.';
comment on column private.unpacked_rollups.nano_usd is 'Sum of what upstream charges for them, in nano-dollars, as far as that is known.';
comment on column private.unpacked_rollups.month is 'Start of the month they are packed by.';

create or replace view private.every_rollup with (security_invoker = true) as
  select r.subject_id, r.bucket, r.provider, r.model, r.source, r.events, r.prompts, r.input_tokens, r.output_tokens,
         r.total_tokens, r.cost, r.nano_usd, r.bucket as since
    from public.usage_rollups r
  union all
  select u.subject_id, u.bucket, u.provider, u.model, u.source, u.events, u.prompts, u.input_tokens, u.output_tokens,
         u.total_tokens, u.cost, u.nano_usd, u.month
    from private.unpacked_rollups u;
comment on view private.every_rollup is 'Rollups, archived or not.';
comment on column private.every_rollup.subject_id is 'The device or user.';
comment on column private.every_rollup.bucket is 'Start of the quarter hour (UTC).';
comment on column private.every_rollup.provider is 'The AI provider.';
comment on column private.every_rollup.model is 'The model.';
comment on column private.every_rollup.source is 'Which API recorded the events.';
comment on column private.every_rollup.events is 'Number of events.';
comment on column private.every_rollup.prompts is 'Sum of their prompts.';
comment on column private.every_rollup.input_tokens is 'Sum of their input tokens.';
comment on column private.every_rollup.output_tokens is 'Sum of their output tokens.';
comment on column private.every_rollup.total_tokens is 'Sum of their tokens.';
comment on column private.every_rollup.cost is 'Sum of what they debited.';
comment on column private.every_rollup.nano_usd is 'Sum of what upstream charges for them, in nano-dollars, as far as that is known.';
comment on column private.every_rollup.since is 'Its bucket, or the start of the month it is packed by.';

create or replace view public.usage_by_model with (security_invoker = true) as
  select date_trunc('month', bucket, 'UTC')::date as month, provider, model, source,
         sum(events) as events, sum(prompts) as prompts, sum(total_tokens) as total_tokens, sum(cost) as cost
    from private.every_rollup
   group by 1, 2, 3, 4;
comment on view public.usage_by_model is 'Usage of everybody per month, provider, model and source.';
comment on column public.usage_by_model.month is 'First day of the month (UTC).';
comment on column public.usage_by_model.provider is 'The AI provider.';
comment on column public.usage_by_model.model is 'The model.';
comment on column public.usage_by_model.source is 'Which API recorded the events.';
comment on column public.usage_by_model.events is 'Number of events.';
comment on column public.usage_by_model.prompts is 'Sum of prompts.';
comment on column public.usage_by_model.total_tokens is 'Sum of language-model tokens.';
comment on column public.usage_by_model.cost is 'Sum of what was debited.';

create or replace view public.money_by_model with (security_invoker = true) as
  select date_trunc('month', bucket, 'UTC')::date as month, provider, model, sum(events) as events,
         sum(total_tokens) as total_tokens, sum(cost) as cost, sum(nano_usd) as nano_usd,
         round(sum(nano_usd) / 1000000000, 6) as usd
    from private.every_rollup
   where source in ('chat', 'api')
   group by 1, 2, 3;
comment on view public.money_by_model is 'What model providers charge for everybody''s chat requests, per month, provider and model.';
comment on column public.money_by_model.month is 'First day of the month (UTC).';
comment on column public.money_by_model.provider is 'The AI provider.';
comment on column public.money_by_model.model is 'The model.';
comment on column public.money_by_model.events is 'Number of requests.';
comment on column public.money_by_model.total_tokens is 'Sum of language-model tokens.';
comment on column public.money_by_model.cost is 'Sum of what was debited.';
comment on column public.money_by_model.nano_usd is 'Sum of what is charged, in nano-dollars, as far as that is known.';
comment on column public.money_by_model.usd is 'The same in US dollars.';

create or replace view contracts.usage with (security_invoker = true) as
  select e.id, e.user_id, e.provider, e.model, e.input_tokens, e.output_tokens, e.total_tokens,
         (extract(epoch from e.occurred_at) * 1000)::bigint as timestamp, e.url, e.created_at, e.source, e.occurred_at
    from private.every_event e
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

create or replace trigger by_hand
  before insert or update or delete or truncate on private.alerts
  for each statement execute function private.refuse_by_hand('they are written by raise_alert() and go with their account, or after 90 days');
alter table private.alerts enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.archived_events
  for each statement execute function private.refuse_by_hand('months that are over are packed by archive_month(), and thawed by whatever changes something in them');
alter table private.archived_events enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.archived_months
  for each statement execute function private.refuse_by_hand('months that are over are packed by archive_month(), and thawed by whatever changes something in them');
alter table private.archived_months enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.archived_rollups
  for each statement execute function private.refuse_by_hand('months that are over are packed by archive_month(), and thawed by whatever changes something in them');
alter table private.archived_rollups enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.bulk_changes
  for each statement execute function private.refuse_by_hand('call begin_bulk_change(), as the admin API does; maintain() removes old ones');
alter table private.bulk_changes enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.bulk_chunks
  for each statement execute function private.refuse_by_hand('continue_bulk_change() does them, one after the other', 'cascade');
alter table private.bulk_chunks enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.proved_google_tokens
  for each statement execute function private.refuse_by_hand('end_person_sessions(person) ends them, and what expired goes by maintain()');
alter table private.proved_google_tokens enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.quarter_hour_usage
  for each statement execute function private.refuse_by_hand('maintain() sums days up, and verify_ledger(true) proves their sums');
alter table private.quarter_hour_usage enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.sign_in_challenges
  for each statement execute function private.refuse_by_hand('they belong to sign-ins under way, and what expired goes by maintain()');
alter table private.sign_in_challenges enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.user_recovery_codes
  for each statement execute function private.refuse_by_hand('they go with their second factor: call remove_person_second_factor(person, ''why'')');
alter table private.user_recovery_codes enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.user_second_factors
  for each statement execute function private.refuse_by_hand('their owners set them up; call remove_person_second_factor(person, ''why'') where one was lost');
alter table private.user_second_factors enable always trigger by_hand;

create or replace trigger mark_changed_rollups_later
  after delete on public.usage_rollups
  for each row when (pg_catalog.current_setting('tokenledger.archiving', true) is distinct from 'on')
  execute function private.mark_changed_rollup();

reset check_function_bodies;
reset search_path;

-- Notes the SHA-256 of the text above.
select private.record_migration('20261128074837', 'b7f61eeb8d904fed28b6e6e37d4828d800286fc2edf3eece16ea99083bec2637');
