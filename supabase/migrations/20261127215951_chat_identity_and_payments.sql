-- Chat is billed by what was produced, in tokens that may weigh and in money; tokens are granted once to whoever proves an
-- address; devices belong to their owners; keys have scopes, admins roles; what is costly or counted is bounded; tokens
-- follow the money that was paid for them.

-- Running streams note how far they have come, so that one whose server dies costs about what had come of it.

alter table public.generations
  add column if not exists streamed boolean not null default false,
  add column if not exists input_seen bigint check (input_seen >= 0),
  add column if not exists output_seen bigint check (output_seen >= 0),
  add column if not exists input_floor bigint not null default 0 check (input_floor >= 0),
  add column if not exists output_floor bigint not null default 0 check (output_floor >= 0);
-- Room for the notes of a running stream in the page its row is in.
alter table public.generations set (fillfactor = 70);
comment on column public.generations.streamed is 'Whether the answer is passed on as it comes, and its progress noted.';
comment on column public.generations.input_seen is 'Tokens of the prompt at the last note; null before the first.';
comment on column public.generations.output_seen is 'Tokens of the answer at the last note; null before the first.';
comment on column public.generations.input_floor is 'Fewest tokens the prompt can be; a smaller count of upstream''s is not believed.';
comment on column public.generations.output_floor is 'Fewest tokens the text that passed can be; a smaller count of upstream''s is not believed.';

-- A fingerprint is a name, not a password: devices are found by their owner and fingerprint, may have a secret, and are
-- removed with the account they belong to.

alter table public.devices add column if not exists secret_hash bytea;
alter table public.devices drop constraint if exists devices_secret_hash_check;
alter table public.devices add constraint devices_secret_hash_check check (length(secret_hash) = 32);
-- By hand a device may have been moved on: it belongs to whoever has it now.
update public.devices set first_user_id = user_id where user_id <> first_user_id;
alter table public.devices drop constraint if exists devices_linked_to_first_user;
alter table public.devices add constraint devices_linked_to_first_user check (user_id is null or user_id = first_user_id);
alter table public.devices drop constraint if exists devices_fingerprint_hash_key;
create unique index if not exists devices_owner_fingerprint_idx on public.devices (fingerprint_hash, first_user_id)
  where first_user_id is not null;
create unique index if not exists devices_anonymous_fingerprint_idx on public.devices (fingerprint_hash, (secret_hash is null))
  where first_user_id is null;
comment on column public.devices.first_user_id is
  'The account it was linked to first, kept when it is unlinked: it can be linked to no other. Null for a device that was nobody''s yet.';
comment on column public.devices.secret_hash is
  'SHA-256 of the device''s secret, if it registered with one: without it, its owner''s sign-in or an earlier token, nobody is given a token.';

-- Trackers are bounded, revocable and can be set right: a version and a switch for each account's tracker tokens, and what
-- was counted today. The limiter learns the tier of an account.

alter table public.tracker_counters
  add column if not exists version integer not null default 1 check (version > 0),
  add column if not exists enabled boolean not null default true,
  add column if not exists counted_on date not null default '-infinity',
  add column if not exists day_prompts bigint not null default 0 check (day_prompts >= 0),
  add column if not exists day_tokens bigint not null default 0 check (day_tokens >= 0);
comment on table public.tracker_counters is 'What clients tracked for each account, summed. Written only by the functions of trackers; always the sum of the account''s rollups with the source tracker.';
comment on column public.tracker_counters.version is 'Tracker tokens carry this number; raising it ends them all.';
comment on column public.tracker_counters.enabled is 'Whether tracker tokens are made for the account.';
comment on column public.tracker_counters.counted_on is 'The day (UTC) the next two columns are about.';
comment on column public.tracker_counters.day_prompts is 'Prompts tracked on that day, which is limited.';
comment on column public.tracker_counters.day_tokens is 'Tokens tracked on that day.';

-- A token of an expensive model can debit more than one of a cheap one.

create table if not exists public.model_weights (
  model text primary key check (model = lower(btrim(model)) and length(model) between 1 and 200),
  input_weight numeric(12, 4) not null check (input_weight between 0 and 1000000),
  output_weight numeric(12, 4) not null check (output_weight between 0 and 1000000),
  source text not null default 'operator' check (source in ('operator', 'upstream')),
  comment text check (length(comment) <= 500),
  updated_at timestamptz not null default now()
);
alter table public.model_weights enable row level security;
comment on table public.model_weights is 'Tokens a token of a model debits from an account in chat; 1 for models without a row. Edit rows freely; the next request uses the new weight.';
comment on column public.model_weights.model is 'The model in lower case; vendor/* stands for all of a vendor without a row of their own, * for all others, *:free for free ones.';
comment on column public.model_weights.input_weight is 'Tokens debited for one token of the prompt.';
comment on column public.model_weights.output_weight is 'Tokens debited for one token of the answer.';
comment on column public.model_weights.source is 'operator, or upstream: derived from its prices, and overwritten when they change. Set it to operator to keep an edited row.';
comment on column public.model_weights.comment is 'Why, for those who come after.';
comment on column public.model_weights.updated_at is 'When the weight last changed.';
alter table public.generations
  add column if not exists input_weight numeric(12, 4) not null default 1 check (input_weight >= 0),
  add column if not exists output_weight numeric(12, 4) not null default 1 check (output_weight >= 0);
comment on column public.generations.input_weight is 'What a token of the prompt debits: the model''s weight when the hold was taken.';
comment on column public.generations.output_weight is 'What a token of the answer debits: the model''s weight when the hold was taken.';

-- One account's thousands of model names are no longer thousands of rows in everybody's summaries.

create table if not exists private.rollup_names (
  subject_id uuid not null,
  day date not null,
  provider text not null,
  model text not null,
  primary key (subject_id, day, provider, model)
);
create index if not exists rollup_names_day_idx on private.rollup_names using brin (day);
comment on table private.rollup_names is
  'The providers and models the rollups of a subject and day (UTC) tell apart, the first hundred to come; all others are counted as other. Kept as long as the events.';
comment on column private.rollup_names.subject_id is 'The device or user.';
comment on column private.rollup_names.day is 'The day (UTC).';
comment on column private.rollup_names.provider is 'The AI provider.';
comment on column private.rollup_names.model is 'The model.';
alter table private.rollup_names enable row level security;
-- What the rollups told apart until now stays so.
insert into private.rollup_names (subject_id, day, provider, model)
select distinct r.subject_id, (r.bucket at time zone 'UTC')::date, r.provider, r.model
  from public.usage_rollups r
 where r.bucket >= (select min(to_timestamp(right(c.relname, 7), 'YYYY_MM')::timestamp at time zone 'UTC')
                      from pg_catalog.pg_inherits i join pg_catalog.pg_class c on c.oid = i.inhrelid
                     where i.inhparent = 'public.usage_events'::regclass)
    on conflict do nothing;

-- Accounts may be suspended; API keys have scopes; admins have roles, sessions and second factors.

-- API keys get scopes, admins roles, sessions and second factors, accounts can be suspended, and passwords a renewed hash.

alter table public.users add column if not exists suspended_at timestamptz;
comment on column public.users.suspended_at is
  'Since when an admin keeps the account from everything; null for an account in good standing.';

-- Keys that exist go on, without what opens the account itself.
alter table private.api_keys
  add column if not exists scopes text[] not null default array['usage:write', 'usage:read', 'chat', 'settings']
  constraint api_keys_scopes_known check (
    cardinality(scopes) > 0 and scopes <@ array['usage:write', 'usage:read', 'chat', 'settings', 'account']
  );
comment on column private.api_keys.scopes is 'What it opens: usage:write, usage:read, chat, settings, or account, which is everything.';

-- Admins that exist may go on doing everything; their tokens name no session, so they log in again.
alter table private.admins add column if not exists role text not null default 'owner'
  constraint admins_role_known check (role in ('viewer', 'operator', 'owner'));
comment on column private.admins.role is 'viewer reads, operator also acts, owner also manages admins.';

create table if not exists private.admin_sessions (
  id uuid primary key default gen_random_uuid(),
  admin_id uuid not null references private.admins (id) on delete cascade,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  user_agent text check (length(user_agent) <= 300),
  address text check (length(address) <= 100),
  second_factor boolean not null default false
);
create index if not exists admin_sessions_admin_idx on private.admin_sessions (admin_id, created_at, id);
create index if not exists admin_sessions_expiry_idx on private.admin_sessions (expires_at);
comment on table private.admin_sessions is 'One row a log-in of an admin. Deleting it ends its token.';
comment on column private.admin_sessions.id is 'The session''s id, in its token.';
comment on column private.admin_sessions.admin_id is 'The admin.';
comment on column private.admin_sessions.created_at is 'When the admin logged in.';
comment on column private.admin_sessions.expires_at is 'When it ends.';
comment on column private.admin_sessions.user_agent is 'The program that logged in, as it names itself.';
comment on column private.admin_sessions.address is 'The network address it logged in from.';
comment on column private.admin_sessions.second_factor is 'Whether a second factor was shown.';

create table if not exists private.admin_second_factors (
  admin_id uuid primary key references private.admins (id) on delete cascade,
  secret text not null check (length(secret) between 16 and 128),
  created_at timestamptz not null default now(),
  confirmed_at timestamptz,
  last_step bigint not null default 0
);
comment on table private.admin_second_factors is 'Second factors of admins: time-based one-time passwords (RFC 6238).';
comment on column private.admin_second_factors.admin_id is 'The admin.';
comment on column private.admin_second_factors.secret is 'The shared secret in base32.';
comment on column private.admin_second_factors.created_at is 'When it was made.';
comment on column private.admin_second_factors.confirmed_at is 'When a first code was shown; null while it is being set up and asks nobody for a code.';
comment on column private.admin_second_factors.last_step is 'The time step of the newest code that was used: neither it nor an earlier one is good again.';

create table if not exists private.admin_recovery_codes (
  admin_id uuid not null references private.admins (id) on delete cascade,
  code_hash bytea not null check (length(code_hash) = 32),
  primary key (admin_id, code_hash)
);
comment on table private.admin_recovery_codes is 'Codes that stand in for a lost second factor. Using one deletes its row.';
comment on column private.admin_recovery_codes.admin_id is 'The admin.';
comment on column private.admin_recovery_codes.code_hash is 'SHA-256 of the code, which has 80 random bits and was shown once.';

alter table public.audit_log add column if not exists address text check (length(address) <= 100);
comment on column public.audit_log.address is 'Network address an admin''s request came from; null for everybody else, as this log can never be cleaned of what is personal.';
alter table private.admin_sessions enable row level security;
alter table private.admin_second_factors enable row level security;
alter table private.admin_recovery_codes enable row level security;

-- Default tokens are paid once per proved identity; addresses are verified and changed by mailed links; invitations; what
-- cannot be undone asks for a fresh proof.

create table if not exists private.secrets (
  name text primary key,
  value bytea not null check (length(value) >= 32),
  created_at timestamptz not null default now()
);
comment on table private.secrets is
  'Random keys this database made for itself. They leave it only in its backups, and changing JWT_SECRET does not touch them.';
comment on column private.secrets.name is 'What the key is for.';
comment on column private.secrets.value is 'The key.';
comment on column private.secrets.created_at is 'When it was made.';

create table if not exists private.granted_identities (
  digest bytea primary key check (length(digest) = 32),
  granted_at timestamptz not null default now()
);
comment on table private.granted_identities is
  'Mailboxes and provider accounts whose default tokens were paid. It outlives their accounts, so that nobody is paid twice by deleting one.';
comment on column private.granted_identities.digest is
  'HMAC-SHA256 of the mailbox or of the provider''s subject, under a key of private.secrets.';
comment on column private.granted_identities.granted_at is 'When it was remembered.';

create table if not exists private.email_verifications (
  email text primary key,
  user_id uuid references public.users (id) on delete cascade,
  token_hash bytea not null unique check (length(token_hash) = 32),
  requested_at timestamptz not null default now(),
  expires_at timestamptz not null
);
create index if not exists email_verifications_user_idx on private.email_verifications (user_id);
create index if not exists email_verifications_expires_idx on private.email_verifications (expires_at);
comment on table private.email_verifications is
  'The newest link mailed to each address to verify it. Asking writes a row whether or not an account waits for it, so that neither the answer nor its time tells.';
comment on column private.email_verifications.email is 'The address asked for, in lower case.';
comment on column private.email_verifications.user_id is 'The account, or null where none waits for it: nothing was mailed then.';
comment on column private.email_verifications.token_hash is 'SHA-256 of the 256 random bits in the link.';
comment on column private.email_verifications.requested_at is 'When the link was asked for.';
comment on column private.email_verifications.expires_at is 'When the link ends.';

create table if not exists private.email_changes (
  user_id uuid primary key references public.users (id) on delete cascade,
  email text not null check (email = lower(email) and length(email) between 3 and 320),
  token_hash bytea not null unique check (length(token_hash) = 32),
  requested_at timestamptz not null default now(),
  expires_at timestamptz not null
);
create index if not exists email_changes_expires_idx on private.email_changes (expires_at);
comment on table private.email_changes is 'Addresses people want instead of theirs, until the link mailed to the new one is followed.';
comment on column private.email_changes.user_id is 'The account.';
comment on column private.email_changes.email is 'The new address, in lower case.';
comment on column private.email_changes.token_hash is 'SHA-256 of the 256 random bits in the link.';
comment on column private.email_changes.requested_at is 'When the change was asked for.';
comment on column private.email_changes.expires_at is 'When the link ends.';

create table if not exists private.invitations (
  id uuid primary key default gen_random_uuid(),
  code_hash bytea not null unique check (length(code_hash) = 32),
  email text check (email = lower(email) and length(email) between 3 and 320),
  tokens bigint check (tokens between 1 and 1000000000000),
  created_by text not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  redeemed_at timestamptz,
  redeemed_by uuid references public.users (id) on delete cascade,
  constraint invitations_redeemed_by_somebody check ((redeemed_at is null) = (redeemed_by is null))
);
create index if not exists invitations_created_idx on private.invitations (created_at, id);
create index if not exists invitations_email_idx on private.invitations (email) where redeemed_at is null;
create index if not exists invitations_redeemed_by_idx on private.invitations (redeemed_by);
comment on table private.invitations is 'One-time codes with which people may make an account.';
comment on column private.invitations.id is 'The invitation''s id.';
comment on column private.invitations.code_hash is 'SHA-256 of the code.';
comment on column private.invitations.email is 'The only address it is good for, if it is bound to one; it proves that address.';
comment on column private.invitations.tokens is 'Tokens the account starts with, instead of the default grant; null for that one.';
comment on column private.invitations.created_by is 'The admin who made it.';
comment on column private.invitations.created_at is 'When it was made.';
comment on column private.invitations.expires_at is 'Until when it may be redeemed.';
comment on column private.invitations.redeemed_at is 'When an account was made with it.';
comment on column private.invitations.redeemed_by is 'That account.';

-- No policy and no grant: only functions with their definer's rights reach these.
alter table private.secrets enable row level security;
alter table private.granted_identities enable row level security;
alter table private.email_verifications enable row level security;
alter table private.email_changes enable row level security;
alter table private.invitations enable row level security;

alter table public.users add column if not exists default_granted_at timestamptz;
comment on column public.users.default_granted_at is
  'When the account was paid its first tokens; null where it was not, as its address is not proved or was paid before.';

-- A session that is there was proved when it was opened.
alter table private.sessions add column if not exists proved_at timestamptz;
update private.sessions set proved_at = created_at where proved_at is null;
alter table private.sessions alter column proved_at set default now(), alter column proved_at set not null;
comment on column private.sessions.proved_at is 'When the person last proved who they are: at the log-in, or since.';

create table if not exists private.proof_codes (
  session_id uuid primary key references private.sessions (id) on delete cascade,
  code_hash bytea not null check (length(code_hash) = 32),
  expires_at timestamptz not null
);
comment on table private.proof_codes is 'The newest code mailed to the owner of a session, to prove that it is them.';
comment on column private.proof_codes.session_id is 'The session it proves.';
comment on column private.proof_codes.code_hash is 'HMAC-SHA256 of the code, under a key the database does not have: a code is short.';
comment on column private.proof_codes.expires_at is 'When the code ends.';
alter table private.proof_codes enable row level security;

-- What upstream charges is kept beside the tokens, on each event of chat and in the sums; metering looks up by key.

alter table public.usage_events add column if not exists nano_usd bigint check (nano_usd >= 0);
alter table public.usage_rollups add column if not exists nano_usd bigint not null default 0 check (nano_usd >= 0);
alter table public.usage_totals add column if not exists nano_usd bigint not null default 0;
comment on column public.usage_events.nano_usd is 'What upstream charges for it, in nano-dollars (10^-9 US dollars); null where that is not known.';
do $$
declare
  v_partition text;
begin
  for v_partition in select p.name from private.usage_partitions() p loop
    execute format(
      'comment on column private.%I.nano_usd is %L', v_partition,
      'What upstream charges for it, in nano-dollars (10^-9 US dollars); null where that is not known.'
    );
  end loop;
end
$$;
comment on column public.usage_rollups.nano_usd is 'Sum of what upstream charges for them, in nano-dollars, as far as that is known.';
comment on column public.usage_totals.nano_usd is 'Sum of what upstream charges for them, in nano-dollars, as far as that is known. A shard may be negative, as corrections go to any.';
alter table public.generations
  add column if not exists input_price numeric check (input_price >= 0),
  add column if not exists output_price numeric check (output_price >= 0),
  add column if not exists request_price numeric check (request_price >= 0);
comment on column public.generations.input_price is 'Upstream''s list price of a token of the prompt when the hold was taken, in nano-dollars; null where it was not known.';
comment on column public.generations.output_price is 'The same for a token of the answer.';
comment on column public.generations.request_price is 'The same for the request, whatever was in it.';

-- Tokens follow money: what went back is remembered for each invoice, and what is owed for each customer.

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

drop function if exists private.audit(p_actor text, p_request_id text, p_action text, p_target text, p_before jsonb, p_after jsonb);

drop function if exists private.close_generation(p_generation generations, p_status text, p_provenance text, p_input bigint, p_output bigint);

drop function if exists private.create_account(p_email text, p_name text, p_picture text, p_tokens bigint, p_actor text);

drop function if exists private.is_credential_valid(p_user_id uuid, p_session_id uuid, p_api_key_id uuid);

drop function if exists private.lock_user(p_caller jsonb);

drop function if exists private.period_share(p_subscription_id text, p_start timestamp with time zone, p_end timestamp with time zone);

drop function if exists private.require_admin(p_actor jsonb);

drop function if exists private.require_user(p_caller jsonb);

drop function if exists private.resolve_external_identity(p_identity jsonb, p_default_tokens bigint);

drop function if exists public.admin_credentials(p_actor jsonb);

drop function if exists public.change_admin_password(p_actor jsonb, p_password_hash text);

drop function if exists public.change_password(p_caller jsonb, p_password_hash text, p_verified_hash text);

drop function if exists public.confirm_user(p_caller jsonb);

drop function if exists public.correct_generation(p_id uuid, p_input_tokens bigint, p_output_tokens bigint);

drop function if exists public.create_api_key(p_caller jsonb, p_name text, p_prefix text, p_key_hash text, p_expires_at text);

drop function if exists public.find_google_user(p_identity jsonb, p_default_tokens bigint);

drop function if exists public.finish_admin_login(p_username text, p_address text);

drop function if exists public.finish_user_login(p_user_id uuid, p_password_hash text, p_address text, p_session jsonb);

drop function if exists public.issue_oauth_code(p_identity jsonb, p_default_tokens bigint, p_code_hash text, p_redirect_uri text, p_code_challenge text);

drop function if exists public.manage_admin(p_command text, p_username text, p_password_hash text);

drop function if exists public.register_device(p_device_name text, p_fingerprint text, p_default_tokens bigint, p_caller jsonb);

drop function if exists public.register_user(p_email text, p_password_hash text, p_default_tokens bigint, p_session jsonb, p_name text);

drop function if exists public.require_current_user();

drop function if exists public.reset_password(p_token_hash text, p_password_hash text);

drop function if exists public.sign_in_with_provider(p_identity jsonb, p_default_tokens bigint, p_session jsonb);

drop function if exists public.tracker_user(p_email text);

drop function if exists public.update_profile(p_caller jsonb, p_changes jsonb);

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

create or replace function private.admin_json(p_admin private.admins)
returns jsonb
language sql stable set search_path = '' set timezone = 'UTC'
as $$
  select jsonb_build_object(
    'id', p_admin.id, 'username', p_admin.username, 'role', p_admin.role, 'created_at', p_admin.created_at,
    'second_factor', exists (
      select from private.admin_second_factors f where f.admin_id = p_admin.id and f.confirmed_at is not null
    ),
    'sessions', (
      select count(*) from private.admin_sessions s where s.admin_id = p_admin.id and s.expires_at > now()
    )
  )
$$;
comment on function private.admin_json(private.admins) is 'Returns an admin as owners see them, without secrets.';

-- In PL/pgSQL, whose plans a session keeps: a function in SQL would be planned in every transaction.
create or replace function private.affordable_tokens(p_wanted bigint, p_available numeric, p_weight numeric)
returns bigint
language plpgsql immutable set search_path = ''
as $$
begin
  return case
    when p_available < 0 then 0
    when p_weight = 0 then p_wanted
    else least(p_wanted, floor(p_available / p_weight))
  end;
end
$$;
comment on function private.affordable_tokens(bigint, numeric, numeric) is
  'Returns how many of the wanted tokens of an answer a balance pays for, each at a weight.';

create or replace function private.api_key_json(p_key private.api_keys)
returns jsonb
language sql stable set search_path = '' set timezone = 'UTC'
as $$
  select jsonb_build_object(
    'id', p_key.id, 'name', p_key.name, 'prefix', p_key.prefix, 'created_at', p_key.created_at,
    'last_used_at', p_key.last_used_at, 'expires_at', p_key.expires_at, 'scopes', p_key.scopes
  )
$$;
comment on function private.api_key_json(private.api_keys) is 'Returns a key as its owner sees it, without its hash.';

create or replace function private.api_keys_json(p_user_id uuid)
returns jsonb
language sql stable set search_path = ''
as $$
  select coalesce(jsonb_agg(private.api_key_json(k) order by k.created_at desc, k.id desc), '[]')
    from private.api_keys k where k.user_id = p_user_id
$$;
comment on function private.api_keys_json(uuid) is 'Returns the keys of an account, newest first.';

create or replace function private.apply_tracker_changes(p_user_id uuid, p_changes jsonb, p_actor text, p_request_id text)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_before public.tracker_counters;
  v_after public.tracker_counters;
begin
  if p_changes = '{}' then
    select c.* into v_before from public.tracker_counters c where c.user_id = p_user_id;
    return private.tracker_json(v_before);
  end if;
  insert into public.tracker_counters (user_id) values (p_user_id) on conflict (user_id) do nothing;
  select c.* into v_before from public.tracker_counters c where c.user_id = p_user_id for update;
  update public.tracker_counters c
     set prompts = coalesce((p_changes ->> 'prompts')::integer, c.prompts),
         tokens = coalesce((p_changes ->> 'tokens')::bigint, c.tokens),
         enabled = coalesce((p_changes ->> 'enabled')::boolean, c.enabled),
         version = c.version + case
           when coalesce((p_changes ->> 'revoke')::boolean, false) or p_changes ->> 'enabled' = 'false' then 1
           else 0
         end,
         updated_at = now()
   where c.user_id = p_user_id
  returning * into v_after;
  if p_changes ? 'prompts' then
    perform private.replace_tracked(p_user_id, v_after.prompts::integer, v_after.tokens);
  end if;
  perform private.audit(
    p_actor, p_request_id, 'change_tracker', 'user:' || p_user_id,
    private.tracker_json(v_before) || jsonb_build_object('version', v_before.version),
    private.tracker_json(v_after) || jsonb_build_object('version', v_after.version)
  );
  return private.tracker_json(v_after);
end
$$;
comment on function private.apply_tracker_changes(uuid, jsonb, text, text) is
  'Changes an account''s counters and who may count, as change_tracker says, and writes it into the audit log. The account must be locked.';

create or replace function private.audit(
  p_actor text, p_request_id text, p_action text, p_target text, p_before jsonb, p_after jsonb, p_address text default null
)
returns void
language sql volatile set search_path = ''
as $$
  insert into public.audit_log (actor, action, target, before, after, request_id, address)
  values (p_actor, p_action, p_target, p_before, p_after, p_request_id, left(p_address, 100))
$$;
comment on function private.audit(text, text, text, text, jsonb, jsonb, text) is 'Writes one line of the audit log.';

create or replace function private.audit_admin(
  p_actor jsonb, p_action text, p_target text, p_before jsonb default null, p_after jsonb default null
)
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  perform private.audit(
    'admin:' || (select a.username from private.admins a where a.id = (p_actor ->> 'id')::uuid),
    p_actor ->> 'request_id', p_action, p_target, p_before, p_after, p_actor ->> 'address'
  );
end
$$;
comment on function private.audit_admin(jsonb, text, text, jsonb, jsonb) is
  'Writes what an admin {id, request_id, address} did into the audit log.';

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
  return true;
end
$$;
comment on function private.change_email(uuid, text) is
  'Gives an account another address, which was proved; returns false where it is another account''s.';

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
           used = b.used - greatest(b.used + b.reserved - b.allocated - v_amount, 0),
           debt = b.debt + greatest(b.used + b.reserved - b.allocated - v_amount, 0),
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
         used = b.used + least(v_cost, b.allocated - b.used - b.reserved + v_held),
         debt = b.debt + v_cost - least(v_cost, b.allocated - b.used - b.reserved + v_held),
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

-- The audit log is append-only: whoever could fill it without end would bury what everybody else did.
create or replace function private.count_recorded_act(p_user_id uuid)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_wait integer := private.count_attempt('user:recorded', p_user_id::text, 100, interval '1 hour');
begin
  if v_wait is not null then
    raise sqlstate 'PT429' using message = 'RATE_LIMITED', detail = jsonb_build_object('retry_after', v_wait)::text;
  end if;
end
$$;
comment on function private.count_recorded_act(uuid) is
  'Counts what a person does as often as they like and the audit log records; raises RATE_LIMITED beyond 100 in an hour.';

create or replace function private.create_account(p_email text, p_name text, p_picture text)
returns public.users
language plpgsql volatile set search_path = ''
as $$
declare
  v_user public.users;
begin
  insert into public.users (email, name, picture) values (p_email, p_name, p_picture)
  on conflict (email) do nothing
  returning * into v_user;
  if v_user.id is not null then
    perform private.open_balance(v_user.id, 'user', 0, 'system:registration');
  end if;
  return v_user;
end
$$;
comment on function private.create_account(text, text, text) is
  'Creates an account with an empty balance; returns nulls where the address is taken.';

-- In plpgsql because it keeps its plans: this is asked with every request, and planning it anew each time took longer than
-- everything else of taking a hold.
create or replace function private.credential_problem(
  p_user_id uuid, p_session_id uuid, p_api_key_id uuid, p_scope text
)
returns text
language plpgsql stable set search_path = ''
as $$
declare
  v_problem text;
begin
  if p_session_id is not null then
    select case when u.suspended_at is not null then 'ACCOUNT_SUSPENDED' end into v_problem
      from private.sessions s join public.users u on u.id = s.user_id
     where s.id = p_session_id and s.user_id = p_user_id and s.expires_at > now();
  elsif p_api_key_id is not null then
    select case
             when u.suspended_at is not null then 'ACCOUNT_SUSPENDED'
             when p_scope is not null and not k.scopes && array[p_scope, 'account'] then 'INSUFFICIENT_SCOPE'
           end
      into v_problem
      from private.api_keys k join public.users u on u.id = k.user_id
     where k.id = p_api_key_id and k.user_id = p_user_id and (k.expires_at is null or k.expires_at > now());
  else
    select case when u.suspended_at is not null then 'ACCOUNT_SUSPENDED' end into v_problem
      from public.users u where u.id = p_user_id;
  end if;
  return case when found then v_problem else 'INVALID_TOKEN' end;
end
$$;
comment on function private.credential_problem(uuid, uuid, uuid, text) is
  'Returns why the session or API key may not act for this account at the moment, null where it may: INVALID_TOKEN for one that has ended, ACCOUNT_SUSPENDED, INSUFFICIENT_SCOPE for a key that has neither this scope nor account. With neither credential only the account is looked at; a null scope asks for none.';

create or replace function private.device_models_this_month(p_device_id uuid)
returns jsonb
language sql stable set search_path = ''
as $$
  select coalesce(jsonb_agg(to_jsonb(m) - 'is_rest' order by m.is_rest, m.cost desc, m.model), '[]')
    from (
      select r.rank > 20 as is_rest, case when r.rank > 20 then 'other' else r.model end as model,
             sum(r.events)::bigint as events, sum(r.prompts)::bigint as prompts, sum(r.cost)::bigint as cost
        from (
          select u.model, sum(u.events) as events, sum(u.prompts) as prompts, sum(u.cost) as cost,
                 row_number() over (order by sum(u.cost) desc, u.model) as rank
            from public.usage_rollups u
           where u.subject_id = p_device_id and u.bucket >= date_trunc('month', now(), 'UTC')
           group by u.model
        ) r
       group by 1, 2
    ) m
$$;
comment on function private.device_models_this_month(uuid) is
  'Returns a device''s usage in the current month (UTC) by model: the 20 it used most, and the rest as other.';

-- Drops the months that lie entirely before the horizon; what they debited stays in the books.
create or replace function private.drop_old_usage(p_horizon timestamptz)
returns integer
language plpgsql volatile set search_path = ''
as $$
declare
  v_partition text;
  v_dropped integer := 0;
begin
  for v_partition in
    select p.name from private.usage_partitions() p
     where (p.lower_bound at time zone 'UTC' + interval '1 month') at time zone 'UTC' <= p_horizon
     order by p.name
  loop
    execute format(
      $query$
        insert into private.retired_usage as u (subject_id, period, cost)
        select subject_id, period, sum(cost) from private.%I where cost > 0 group by subject_id, period
        on conflict (subject_id, period) do update set cost = u.cost + excluded.cost
      $query$, v_partition
    );
    execute format('drop table private.%I', v_partition);
    v_dropped := v_dropped + 1;
  end loop;
  if v_dropped > 0 then
    delete from private.rollup_names n
     where n.day < (select min(p.lower_bound) at time zone 'UTC' from private.usage_partitions() p);
  end if;
  return v_dropped;
end
$$;
comment on function private.drop_old_usage(timestamptz) is 'Drops whole months of usage events before a time; returns how many. Rollups stay.';

create or replace function private.drop_second_factor(p_admin_id uuid)
returns void
language sql volatile set search_path = ''
as $$
  delete from private.admin_recovery_codes where admin_id = p_admin_id;
  delete from private.admin_second_factors where admin_id = p_admin_id;
$$;
comment on function private.drop_second_factor(uuid) is 'Removes the second factor of an admin with its recovery codes.';

-- A trigger, so that it holds however a link ends: by its owner, by a deleted account, or by hand in Supabase Studio.
create or replace function private.end_device_credentials()
returns trigger
language plpgsql set search_path = ''
as $$
begin
  if old.user_id is not null and new.user_id is distinct from old.user_id then
    new.token_version := old.token_version + 1;
  end if;
  -- Its owner can sign in again. An anonymous device keeps its secret, as nothing else would be left to know it by.
  if old.user_id is not null and new.token_version <> old.token_version then
    new.secret_hash := null;
  end if;
  return new;
end
$$;
comment on function private.end_device_credentials() is
  'Trigger: ends the tokens of a device that is unlinked, and with its tokens the secret of a linked one.';

-- Whoever ends all sessions because one may be a thief's must not lose the account afterwards, by a link the thief asked for.
create or replace function private.end_sessions(p_user_id uuid, p_except uuid default null)
returns integer
language plpgsql volatile set search_path = ''
as $$
declare
  v_ended integer;
begin
  delete from private.email_changes c where c.user_id = p_user_id;
  delete from private.sessions s where s.user_id = p_user_id and s.id is distinct from p_except;
  get diagnostics v_ended = row_count;
  return v_ended;
end
$$;
comment on function private.end_sessions(uuid, uuid) is 'Ends the sessions of an account, but for one, and the change of its address that one of them may have asked for; returns how many sessions.';

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
   where d.fingerprint_hash = p_fingerprint_hash
     and (p_user_id is null or d.first_user_id is null)
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

-- Suffixes choose among providers of a model and weigh what it does; a free variant is another thing, and is never
-- weighed by the price of the model it is a variant of.
-- In PL/pgSQL, whose plans a session keeps: a function in SQL would be planned in every transaction.
create or replace function private.find_model_weight(p_model text)
returns public.model_weights
language plpgsql stable set search_path = ''
as $$
declare
  v_weight public.model_weights;
begin
  select w.* into v_weight
    from unnest(case
           when p_model like '%:free' then array[p_model, '*:free']
           else array[p_model, split_part(p_model, ':', 1), split_part(p_model, '/', 1) || '/*', '*']
         end) with ordinality as name(model, rank)
    join public.model_weights w on w.model = name.model
   order by name.rank
   limit 1;
  return v_weight;
end
$$;
comment on function private.find_model_weight(text) is
  'Returns the weight of a model: its own, without its suffix, of its vendor, or of all others; null where none has a row.';

-- Names come from clients, and each is a row of every summary: only so many of a subject and day are kept apart.
create or replace function private.fold_names(p_events public.usage_events[])
returns public.usage_events[]
language plpgsql volatile set search_path = ''
as $$
declare
  v_new record;
  v_position integer;
begin
  -- Nearly always: no name is new.
  if not exists (
    select from unnest(p_events) e
     where not exists (
       select from private.rollup_names n
        where n.subject_id = e.subject_id and n.day = (e.occurred_at at time zone 'UTC')::date
          and n.provider = e.provider and n.model = e.model
     )
  ) then
    return p_events;
  end if;
  for v_new in
    select e.subject_id, (e.occurred_at at time zone 'UTC')::date as day
      from unnest(p_events) e
     where not exists (
       select from private.rollup_names n
        where n.subject_id = e.subject_id and n.day = (e.occurred_at at time zone 'UTC')::date
          and n.provider = e.provider and n.model = e.model
     )
     group by 1, 2
     order by 1, 2
  loop
    -- One at a time: whoever was here before has left its names.
    perform pg_advisory_xact_lock(hashtextextended('rollup_names ' || v_new.subject_id || v_new.day, 0));
    insert into private.rollup_names (subject_id, day, provider, model)
    select v_new.subject_id, v_new.day, e.provider, e.model
      from unnest(p_events) with ordinality as e
     where e.subject_id = v_new.subject_id and (e.occurred_at at time zone 'UTC')::date = v_new.day
       and not exists (
         select from private.rollup_names n
          where n.subject_id = e.subject_id and n.day = v_new.day and n.provider = e.provider and n.model = e.model
       )
     group by e.provider, e.model
     order by min(e.ordinality)
     limit greatest(private.rollup_name_limit() - (
       select count(*) from private.rollup_names n where n.subject_id = v_new.subject_id and n.day = v_new.day
     ), 0);
  end loop;
  for v_position in 1 .. cardinality(p_events) loop
    p_events[v_position] := private.rolled_up_as(p_events[v_position]);
  end loop;
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
  -- Those an admin removed before have a name, too.
  update public.devices set name = 'Deleted device', user_id = null, first_user_id = null where first_user_id = p_user_id;
end
$$;
comment on function private.forget_devices(uuid, text) is
  'Removes all devices that were ever linked to an account that is deleted: their tokens die, and name, fingerprint and owner are blanked.';

-- Upstream's own number is the best there is. While the tokens are only estimated, it may be the intermediate state of a
-- stream that broke off, and then the greater of both stands. In PL/pgSQL, whose plans a session keeps.
create or replace function private.generation_money(
  p_generation public.generations, p_provenance text, p_input bigint, p_output bigint, p_reported bigint
)
returns bigint
language plpgsql immutable set search_path = ''
as $$
declare
  v_listed bigint := round(
    p_input * p_generation.input_price + p_output * p_generation.output_price + coalesce(p_generation.request_price, 0)
  );
begin
  return case when p_provenance = 'provider_final' then coalesce(p_reported, v_listed) else greatest(p_reported, v_listed) end;
end
$$;
comment on function private.generation_money(public.generations, text, bigint, bigint, bigint) is
  'Returns what upstream charges for a generation, in nano-dollars: as it reported, or by its list prices; null where neither is known.';

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
  perform private.change_allocation(p_user_id, v_granted, 'grant', p_actor, p_reference);
  update public.users set default_granted_at = now() where id = p_user_id;
  return v_granted;
end
$$;
comment on function private.grant_default_tokens(uuid, bigint, text, text, boolean) is
  'Pays an account its first tokens: once, and only where none of its identities was ever paid, unless p_always. Returns how many.';

-- Postgres has SHA-256 of its own but no HMAC without an extension.
create or replace function private.hmac_sha256(p_key bytea, p_message bytea)
returns bytea
language plpgsql immutable set search_path = ''
as $$
declare
  v_block constant integer := 64;
  v_inner bytea := case when length(p_key) > v_block then sha256(p_key) else p_key end;
  v_outer bytea;
begin
  v_inner := v_inner || decode(repeat('00', v_block - length(v_inner)), 'hex');
  v_outer := v_inner;
  for n in 0 .. v_block - 1 loop
    v_inner := set_byte(v_inner, n, get_byte(v_inner, n) # 54);
    v_outer := set_byte(v_outer, n, get_byte(v_outer, n) # 92);
  end loop;
  return sha256(v_outer || sha256(v_inner || p_message));
end
$$;
comment on function private.hmac_sha256(bytea, bytea) is 'Returns the HMAC-SHA256 (RFC 2104) of a message.';

-- The key is in the database and not in the server's configuration, so that it survives a new JWT_SECRET. It keeps what
-- leaks without it from being tried against lists of addresses; whoever has the whole database has the addresses anyway.
create or replace function private.identity_digest(p_identity text)
returns bytea
language plpgsql volatile set search_path = ''
as $$
declare
  v_key bytea;
begin
  loop
    select s.value into v_key from private.secrets s where s.name = 'granted identities';
    exit when found;
    insert into private.secrets (name, value)
    values ('granted identities', sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())))
    on conflict (name) do nothing;
  end loop;
  return private.hmac_sha256(v_key, convert_to(p_identity, 'UTF8'));
end
$$;
comment on function private.identity_digest(text) is
  'Returns what is remembered of an identity: its HMAC under a random key that is made when it is first needed.';

create or replace function private.invitation_json(p_invitation private.invitations)
returns jsonb
language sql stable set search_path = ''
as $$
  select jsonb_build_object(
    'id', p_invitation.id, 'email', p_invitation.email, 'tokens', p_invitation.tokens,
    'created_by', p_invitation.created_by, 'created_at', p_invitation.created_at, 'expires_at', p_invitation.expires_at,
    'redeemed_at', p_invitation.redeemed_at, 'redeemed_by', p_invitation.redeemed_by
  )
$$;
comment on function private.invitation_json(private.invitations) is 'Returns an invitation as admins see it, without its code.';

create or replace function private.is_new_network(p_user_id uuid, p_network text, p_address text)
returns boolean
language plpgsql stable set search_path = ''
as $$
begin
  return (
    exists (select from private.sessions s where s.user_id = p_user_id)
    or exists (select from private.known_addresses a where a.account = 'user:' || p_user_id)
  )
  and not exists (select from private.sessions s where s.user_id = p_user_id and s.address = p_address)
  and not exists (
    select from private.known_addresses a where a.account = 'user:' || p_user_id and a.address = p_network
  );
end
$$;
comment on function private.is_new_network(uuid, text, text) is
  'Returns whether an account that was used before signs in from where it never was.';

create or replace function private.keep_an_owner()
returns void
language plpgsql stable set search_path = ''
as $$
begin
  if not exists (select from private.admins a where a.role = 'owner') then
    raise sqlstate 'PT409' using message = 'LAST_OWNER';
  end if;
end
$$;
comment on function private.keep_an_owner() is
  'Raises LAST_OWNER where nobody is left who could manage admins. Callers lock private.admins before they change it.';

create or replace function private.keep_verification(p_email text, p_user_id uuid, p_token_hash text)
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  insert into private.email_verifications as v (email, user_id, token_hash, requested_at, expires_at)
  values (p_email, p_user_id, decode(p_token_hash, 'hex'), now(), now() + interval '24 hours')
  on conflict (email) do update
    set user_id = excluded.user_id, token_hash = excluded.token_hash,
        requested_at = excluded.requested_at, expires_at = excluded.expires_at;
end
$$;
comment on function private.keep_verification(text, uuid, text) is
  'Makes this token (SHA-256, hex) the only one that verifies the address, for 24 hours.';

-- Whoever changes a password because somebody else knew it has to hear of the keys that person may have made.
create or replace function private.keys_after_password(p_user_id uuid, p_revoke boolean)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
begin
  perform private.audit(
    'user:' || p_user_id, null, 'set_password', 'user:' || p_user_id, null,
    jsonb_build_object('revoked_api_keys', p_revoke)
  );
  if p_revoke then
    delete from private.api_keys where user_id = p_user_id;
  end if;
  return private.api_keys_json(p_user_id);
end
$$;
comment on function private.keys_after_password(uuid, boolean) is
  'After a new password: records it, ends all keys of the account where that is wished, and returns those that go on.';

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

-- Called first by whatever adds to an account or changes how it is opened: such calls wait for each other, for a deletion
-- and for whoever takes the account over, and only then check that the caller's session is still valid.
create or replace function private.lock_user(p_caller jsonb, p_scope text default 'account')
returns uuid
language plpgsql volatile set search_path = ''
as $$
begin
  perform from public.users u where u.id = (p_caller ->> 'id')::uuid for no key update;
  return private.require_user(p_caller, p_scope);
end
$$;
comment on function private.lock_user(jsonb, text) is
  'Returns what require_user does, with the account locked until the transaction ends.';

-- Who gets in takes back their own attempts, and nobody else's: with an account of one's own one could otherwise go on
-- guessing at everybody's from the same address.
create or replace function private.login_succeeded(p_realm text, p_account text, p_address text)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_key constant text := p_account || ' ' || p_address;
  v_own integer;
begin
  insert into private.known_addresses (account, address) values (p_realm || ':' || p_account, p_address)
  on conflict (account, address) do update set last_login_at = now();
  delete from private.login_attempts where scope = p_realm || ':known' and key = v_key;
  delete from private.login_attempts where scope = p_realm || ':pair' and key = v_key returning attempts into v_own;
  -- Those beyond the limit of login_wait were not counted by address.
  update private.login_attempts set attempts = greatest(attempts - least(v_own, 10), 0)
   where scope = p_realm || ':address' and key = p_address and v_own is not null;
end
$$;
comment on function private.login_succeeded(text, text, text) is
  'After the right password: remembers the address and forgets the attempts at this account from it.';

-- Whoever keeps trying one account from one network is told to wait for that account alone: neither others behind the
-- same address nor the account's owner elsewhere wait for it. What remains is counted by network, for those who try many
-- names, and by account, which many networks together can only slow down; a network that has logged in before is not
-- slowed down by them.
create or replace function private.login_wait(p_realm text, p_account text, p_address text)
returns integer
language plpgsql volatile set search_path = ''
as $$
declare
  v_wait integer;
begin
  if exists (
    select from private.known_addresses where account = p_realm || ':' || p_account and address = p_address
  ) then
    return private.count_attempt(p_realm || ':known', p_account || ' ' || p_address, 20, interval '15 minutes');
  end if;
  v_wait := private.count_attempt(p_realm || ':pair', p_account || ' ' || p_address, 10, interval '15 minutes');
  if v_wait is not null then
    return v_wait;
  end if;
  return greatest(
    private.count_attempt(p_realm || ':address', p_address, 20, interval '15 minutes'),
    private.count_attempt(p_realm || ':account', p_account, 10, interval '1 minute')
  );
end
$$;
comment on function private.login_wait(text, text, text) is
  'Counts a log-in attempt at an account of a realm (admin, user) from a network; returns null, or the seconds to wait.';

-- Kept by a digest, which stays when an account is deleted: otherwise registering and deleting would mail without end.
create or replace function private.mail_wait(p_scope text, p_email text)
returns integer
language plpgsql volatile set search_path = ''
as $$
begin
  return private.count_attempt(p_scope, encode(private.identity_digest('email ' || p_email), 'hex'), 3, interval '15 minutes');
end
$$;
comment on function private.mail_wait(text, text) is
  'Counts a mail of one kind to an address, 3 in 15 minutes; returns null where it may be sent, or the seconds to wait.';

-- Accounts are kept under the address as it is written; this only tells whether two addresses are one mailbox's, where
-- the same person could be paid twice. Sub-addresses (RFC 5233) are what most providers deliver to the mailbox before the
-- plus; Gmail ignores dots, and is known under two names.
create or replace function private.mailbox_of(p_email text)
returns text
language plpgsql immutable set search_path = ''
as $$
declare
  v_email text := lower(normalize(p_email, NFKC));
  v_domain text := substring(v_email from '@([^@]*)$');
  v_local text := left(v_email, length(v_email) - length(v_domain) - 1);
begin
  v_local := coalesce(nullif(split_part(v_local, '+', 1), ''), v_local);
  if v_domain in ('gmail.com', 'googlemail.com') then
    v_domain := 'gmail.com';
    v_local := replace(v_local, '.', '');
  end if;
  return v_local || '@' || v_domain;
end
$$;
comment on function private.mailbox_of(text) is
  'Returns the mailbox an address is delivered to: without a sub-address behind a plus, at Gmail without dots.';

create or replace function private.open_admin_session(p_admin_id uuid, p_session jsonb, p_second_factor boolean)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_id uuid;
begin
  insert into private.admin_sessions (admin_id, expires_at, user_agent, address, second_factor)
  values (
    p_admin_id, now() + make_interval(secs => (p_session ->> 'lifetime_seconds')::integer),
    left(p_session ->> 'user_agent', 300), left(p_session ->> 'address', 100), p_second_factor
  )
  returning id into v_id;
  return (
    select jsonb_build_object(
             'id', a.id, 'version', a.version, 'session_id', v_id, 'role', a.role, 'second_factor', p_second_factor
           )
      from private.admins a where a.id = p_admin_id
  );
end
$$;
comment on function private.open_admin_session(uuid, jsonb, boolean) is
  'Opens a session {lifetime_seconds, user_agent, address} of an admin; returns what its token says: {id, version, session_id, role, second_factor}.';

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
  return private.session_json(v_id) || jsonb_build_object('new_network', v_is_new);
end
$$;
comment on function private.open_session(uuid, jsonb) is
  'Opens a session {refresh_hash, lifetime_seconds, user_agent, address, network} with its first refresh token, and remembers the network, where there is one, as one its owner logs in from. Returns {session_id, user, new_network}; raises ACCOUNT_SUSPENDED.';

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

create or replace function private.profile_json(p_user public.users)
returns jsonb
language sql stable set search_path = ''
as $$
  select private.user_json(p_user) || jsonb_build_object(
    'email_verified', p_user.email_verified_at is not null,
    'pending_email', (select c.email from private.email_changes c where c.user_id = p_user.id and c.expires_at > now()),
    'has_password', exists (select from private.user_credentials c where c.user_id = p_user.id),
    'providers', (
      select coalesce(jsonb_agg(i.provider order by i.provider), '[]')
        from private.external_identities i where i.user_id = p_user.id
    )
  )
$$;
comment on function private.profile_json(public.users) is 'Returns an account as its owner sees it: with its balance and the ways to sign in.';

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

-- The proof is {step} of a one-time password that fits the secret, or {recovery_hash}; neither where what was sent is wrong.
create or replace function private.prove_second_factor(p_admin_id uuid, p_proof jsonb)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_wait integer := private.count_attempt('admin:second_factor', p_admin_id::text, 10, interval '15 minutes');
begin
  if v_wait is not null then
    return jsonb_build_object('outcome', 'limited', 'retry_after', v_wait);
  end if;
  update private.admin_second_factors set last_step = (p_proof ->> 'step')::bigint
   where admin_id = p_admin_id and confirmed_at is not null and last_step < (p_proof ->> 'step')::bigint;
  if not found then
    delete from private.admin_recovery_codes
     where admin_id = p_admin_id and code_hash = decode(p_proof ->> 'recovery_hash', 'hex');
    if not found then
      return jsonb_build_object('outcome', 'wrong');
    end if;
  end if;
  delete from private.login_attempts where scope = 'admin:second_factor' and key = p_admin_id::text;
  return jsonb_build_object('outcome', 'proved');
end
$$;
comment on function private.prove_second_factor(uuid, jsonb) is
  'Uses up a one-time password or a recovery code of an admin. Returns {outcome: proved}, wrong, also for a code that was used before, or limited with retry_after.';

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
  return v_sessions + v_tokens + v_keys + private.prune_oauth() + private.prune_password_resets() + private.prune_signup();
end
$$;
comment on function private.prune_accounts() is
  'Removes sessions, tokens, codes, links and keys whose time is over; returns how many.';

create or replace function private.prune_signup()
returns integer
language plpgsql volatile set search_path = ''
as $$
declare
  v_links integer;
  v_changes integer;
  v_invitations integer;
begin
  delete from private.email_verifications where expires_at <= now();
  get diagnostics v_links = row_count;
  delete from private.email_changes where expires_at <= now();
  get diagnostics v_changes = row_count;
  -- One that was not used stays in the admins' list for a while, so that they see why a code stopped.
  delete from private.invitations where redeemed_at is null and expires_at <= now() - interval '30 days';
  get diagnostics v_invitations = row_count;
  return v_links + v_changes + v_invitations;
end
$$;
comment on function private.prune_signup() is 'For maintenance: removes links and invitations that have ended; returns how many.';

-- The account was just made. Of two people with one code the second waits for the first, finds it redeemed, and the
-- refusal takes their account back.
create or replace function private.redeem_invitation(p_user public.users, p_code_hash text)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_invitation private.invitations;
begin
  update private.invitations i set redeemed_at = now(), redeemed_by = p_user.id
   where i.id = (
       -- Without a code, who is here has proved an address: an invitation to it is theirs.
       select o.id from private.invitations o
        where case when p_code_hash is null then o.email = p_user.email else o.code_hash = decode(p_code_hash, 'hex') end
          and o.redeemed_at is null and o.expires_at > now()
        order by o.expires_at, o.id limit 1 for update
     )
     and i.redeemed_at is null and (i.email is null or i.email = p_user.email)
  returning i.* into v_invitation;
  if not found then
    raise sqlstate 'PT403' using message = case when p_code_hash is null then 'INVITATION_REQUIRED' else 'INVITATION_INVALID' end;
  end if;
  if v_invitation.email is not null then
    update public.users set email_verified_at = coalesce(email_verified_at, now()) where id = p_user.id;
  end if;
  if v_invitation.tokens is not null then
    perform private.grant_default_tokens(
      p_user.id, v_invitation.tokens, v_invitation.created_by, 'invitation:' || v_invitation.id, true
    );
  end if;
  perform private.audit('user:' || p_user.id, null, 'redeem_invitation', 'invitation:' || v_invitation.id, null, null);
end
$$;
comment on function private.redeem_invitation(public.users, text) is
  'Uses up the invitation with this code (SHA-256, hex), or the one to the account''s address, pays the tokens it names, and proves the address it is bound to; raises INVITATION_REQUIRED, INVITATION_INVALID.';

create or replace function private.refuse_credential(p_problem text, p_scope text)
returns void
language plpgsql stable set search_path = ''
as $$
begin
  if p_problem = 'INVALID_TOKEN' then
    raise sqlstate 'PT401' using message = 'INVALID_TOKEN';
  elsif p_problem = 'INSUFFICIENT_SCOPE' then
    raise sqlstate 'PT403' using message = 'INSUFFICIENT_SCOPE', detail = jsonb_build_object('scope', p_scope);
  elsif p_problem is not null then
    raise sqlstate 'PT403' using message = p_problem;
  end if;
end
$$;
comment on function private.refuse_credential(text, text) is
  'Raises what credential_problem returned, with the status it belongs to; does nothing for null.';

-- The caller holds the user pool, which whoever pays a grant takes first: two that prove one identity at the same moment
-- come here one after the other.
create or replace function private.remember_identities(p_user_id uuid)
returns boolean
language plpgsql volatile set search_path = ''
as $$
declare
  v_identities bytea[];
  v_remembered integer;
begin
  select array_agg(distinct private.identity_digest(identity.name)) into v_identities
    from (
      select 'email ' || private.mailbox_of(u.email) as name from public.users u where u.id = p_user_id
      union all
      select i.provider || ' ' || i.subject from private.external_identities i where i.user_id = p_user_id
    ) identity;
  insert into private.granted_identities (digest)
  select digest from unnest(v_identities) as digest order by digest
  on conflict (digest) do nothing;
  get diagnostics v_remembered = row_count;
  return v_remembered = cardinality(v_identities);
end
$$;
comment on function private.remember_identities(uuid) is
  'Remembers the mailbox and the provider accounts of an account; returns whether none of them was remembered before.';

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

-- The caller holds the account.
create or replace function private.request_email_change(p_caller jsonb, p_email text, p_token_hash text)
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
end
$$;
comment on function private.request_email_change(jsonb, text, text) is
  'Makes this token (SHA-256, hex) the one that gives the account another address, for 24 hours; at most 5 an hour, and 3 in 15 minutes to one address. Raises EMAIL_TAKEN, PROOF_REQUIRED, RATE_LIMITED, and MAIL_DISABLED without a token.';

create or replace function private.require_account(p_user_id uuid)
returns text
language plpgsql volatile set search_path = ''
as $$
begin
  perform from public.users u where u.id = p_user_id for update;
  if not found then
    raise sqlstate 'PT404' using message = 'USER_NOT_FOUND';
  end if;
  return 'user:' || p_user_id;
end
$$;
comment on function private.require_account(uuid) is
  'Locks an account an admin is about to change and returns how the audit log names it; raises USER_NOT_FOUND.';

-- Called first by every admin function: the right is checked in the transaction that uses it. What names no role acts,
-- so viewers may not; an admin's own session, password and second factor name null and are everybody's.
create or replace function private.require_admin(p_actor jsonb, p_role text default 'operator')
returns text
language plpgsql stable set search_path = ''
as $$
declare
  v_roles constant text[] := array['viewer', 'operator', 'owner'];
  v_admin record;
begin
  select a.username, a.role, s.second_factor into v_admin
    from private.admin_sessions s join private.admins a on a.id = s.admin_id
   where s.id = (p_actor ->> 'session_id')::uuid and s.expires_at > now()
     and a.id = (p_actor ->> 'id')::uuid and a.version = (p_actor ->> 'version')::integer;
  if not found then
    raise sqlstate 'PT401' using message = 'INVALID_TOKEN';
  end if;
  if p_role is not null and (p_actor ->> 'second_factor_required')::boolean and not v_admin.second_factor then
    raise sqlstate 'PT403' using message = 'SECOND_FACTOR_MISSING';
  end if;
  if p_role is not null and array_position(v_roles, v_admin.role) < array_position(v_roles, p_role) then
    raise sqlstate 'PT403' using message = 'INSUFFICIENT_ROLE', detail = jsonb_build_object('role', p_role);
  end if;
  return 'admin:' || v_admin.username;
end
$$;
comment on function private.require_admin(jsonb, text) is
  'Returns the name to record for the admin {id, version, session_id, second_factor_required, request_id, address}; raises INVALID_TOKEN where the session has ended, SECOND_FACTOR_MISSING, or INSUFFICIENT_ROLE below viewer, operator or owner.';

-- Called by what cannot be undone or opens the account to somebody else. A token may have been stolen long after its owner
-- signed in; an API key never proves a person.
create or replace function private.require_fresh(p_caller jsonb)
returns void
language plpgsql stable set search_path = ''
as $$
begin
  if not exists (
    select from private.sessions s
     where s.id = (p_caller ->> 'session_id')::uuid and s.user_id = (p_caller ->> 'id')::uuid
       and s.proved_at > now() - interval '5 minutes'
  ) then
    raise sqlstate 'PT403' using message = 'PROOF_REQUIRED';
  end if;
end
$$;
comment on function private.require_fresh(jsonb) is
  'Raises PROOF_REQUIRED unless the caller''s session was opened, or proved again, within 5 minutes.';

-- Called first by every function that acts for a person: the credential is checked in the transaction that uses it. What
-- names no scope is part of the account, which keys do not open unless they were made for it.
create or replace function private.require_user(p_caller jsonb, p_scope text default 'account')
returns uuid
language plpgsql stable set search_path = ''
as $$
declare
  v_user_id uuid := (p_caller ->> 'id')::uuid;
begin
  perform private.refuse_credential(
    private.credential_problem(
      v_user_id, (p_caller ->> 'session_id')::uuid, (p_caller ->> 'api_key_id')::uuid, p_scope
    ),
    p_scope
  );
  return v_user_id;
end
$$;
comment on function private.require_user(jsonb, text) is
  'Returns the account of the caller {id, session_id | api_key_id}; raises INVALID_TOKEN, ACCOUNT_SUSPENDED, or INSUFFICIENT_SCOPE for a key without the scope.';

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
      if v_user.email = v_known.email and private.change_email(v_user.id, v_email) then
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

create or replace function private.roll_up_usage(p_events public.usage_events[])
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  p_events := private.fold_names(p_events);
  insert into public.usage_rollups as r (
    subject_id, bucket, provider, model, source, events, prompts, input_tokens, output_tokens, total_tokens, cost,
    nano_usd
  )
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
  insert into public.usage_totals as t (
    bucket, shard, events, prompts, input_tokens, output_tokens, total_tokens, cost,
    nano_usd
  )
  select date_bin('15 minutes', e.occurred_at, 'epoch'), (pg_backend_pid() % 8)::smallint,
         count(*), sum(e.prompt_count), sum(e.input_tokens), sum(e.output_tokens), sum(e.total_tokens), sum(e.cost),
         coalesce(sum(e.nano_usd), 0)
    from unnest(p_events) e
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

-- Names are only ever added until there are enough: what was counted as other once is so for good.
create or replace function private.rolled_up_as(p_event public.usage_events)
returns public.usage_events
language plpgsql stable set search_path = ''
as $$
declare
  v_day date := (p_event.occurred_at at time zone 'UTC')::date;
begin
  if not exists (
       select from private.rollup_names n
        where n.subject_id = p_event.subject_id and n.day = v_day
          and n.provider = p_event.provider and n.model = p_event.model
     )
     and (
       select count(*) from private.rollup_names n where n.subject_id = p_event.subject_id and n.day = v_day
     ) >= private.rollup_name_limit() then
    p_event.provider := 'other';
    p_event.model := 'other';
  end if;
  return p_event;
end
$$;
comment on function private.rolled_up_as(public.usage_events) is
  'Returns an event with the provider and model its rollup has: other where the subject had too many that day.';

create or replace function private.rollup_name_limit()
returns integer
language sql immutable set search_path = ''
as $$
  select 100
$$;
comment on function private.rollup_name_limit() is 'Returns how many models of one subject and day (UTC) the rollups tell apart.';

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
  v_generation public.generations;
  v_seen bigint;
  v_held numeric;
  v_output bigint;
  v_events public.usage_events[] := '{}';
begin
  for v_lost in
    select r.id, r.amount, r.expires_at from public.reservations r
     where r.subject_id = any (p_subjects) and r.status = 'held' and r.expires_at <= p_expired_by
       and r.id <> all (p_except)
     order by r.id
  loop
    select g.* into v_generation from public.generations g where g.id = v_lost.id;
    continue when not found;
    v_seen := coalesce(v_generation.output_seen, 0);
    v_held := v_lost.amount - v_generation.input_estimate * v_generation.input_weight;
    v_output := case
      when v_generation.streamed and v_lost.expires_at <= now()
        then private.affordable_tokens(v_seen + v_allowance, v_held, v_generation.output_weight)
      when v_generation.output_weight > 0 then floor(v_held / v_generation.output_weight)
      else 0
    end;
    v_events := v_events || private.close_generation(
      v_generation, 'lost', 'estimated', coalesce(v_generation.input_seen, v_generation.input_estimate),
      greatest(v_output, v_seen)
    );
  end loop;
  if cardinality(v_events) > 0 then
    perform private.record_usage_events(v_events);
  end if;
  return cardinality(v_events);
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

create or replace function private.take_name_out_of_usage(p_user_id uuid)
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  update public.usage_events set user_id = null, url = null
   where user_id = p_user_id and user_id is distinct from subject_id;
end
$$;
comment on function private.take_name_out_of_usage(uuid) is
  'Makes anonymous what devices recorded in the name of an account that is deleted.';

create or replace function private.take_out_total(p_gone public.usage_totals)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_left public.usage_totals;
begin
  -- Events may have been counted in any shard, so the bucket's shards become one. One deletion at a time: the next
  -- one must see the shard this one leaves.
  perform pg_advisory_xact_lock(hashtextextended('public.usage_totals', extract(epoch from p_gone.bucket)::bigint));
  with gone as (
    delete from public.usage_totals where bucket = p_gone.bucket returning *
  )
  select p_gone.bucket, 0, sum(g.events) - p_gone.events, sum(g.prompts) - p_gone.prompts,
         sum(g.input_tokens) - p_gone.input_tokens, sum(g.output_tokens) - p_gone.output_tokens,
         sum(g.total_tokens) - p_gone.total_tokens, sum(g.cost) - p_gone.cost, sum(g.nano_usd) - p_gone.nano_usd
    into v_left
    from gone g;
  insert into public.usage_totals as t select v_left.* where v_left.events > 0
  on conflict (bucket, shard) do update
    set events = t.events + excluded.events, prompts = t.prompts + excluded.prompts,
        input_tokens = t.input_tokens + excluded.input_tokens, output_tokens = t.output_tokens + excluded.output_tokens,
        total_tokens = t.total_tokens + excluded.total_tokens, cost = t.cost + excluded.cost,
        nano_usd = t.nano_usd + excluded.nano_usd;
end
$$;
comment on function private.take_out_total(public.usage_totals) is
  'Takes what events of a quarter hour added up to out of everybody''s total of it; its shard does not matter. An empty total goes.';

create or replace function private.take_out_usage(p_event public.usage_events)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_bucket timestamptz := date_bin('15 minutes', p_event.occurred_at, 'epoch');
begin
  p_event := private.rolled_up_as(p_event);
  update public.usage_rollups r
     set events = r.events - 1, prompts = r.prompts - p_event.prompt_count,
         input_tokens = r.input_tokens - p_event.input_tokens, output_tokens = r.output_tokens - p_event.output_tokens,
         total_tokens = r.total_tokens - p_event.total_tokens, cost = r.cost - p_event.cost,
         nano_usd = r.nano_usd - coalesce(p_event.nano_usd, 0)
   where r.subject_id = p_event.subject_id and r.bucket = v_bucket and r.provider = p_event.provider
     and r.model = p_event.model and r.source = p_event.source;
  delete from public.usage_rollups r
   where r.subject_id = p_event.subject_id and r.bucket = v_bucket and r.provider = p_event.provider
     and r.model = p_event.model and r.source = p_event.source and r.events = 0;
  perform private.take_out_total(row(
    v_bucket, 0, 1, p_event.prompt_count, p_event.input_tokens, p_event.output_tokens, p_event.total_tokens, p_event.cost,
    coalesce(p_event.nano_usd, 0)
  )::public.usage_totals);
end
$$;
comment on function private.take_out_usage(public.usage_events) is 'Takes one event out of its rollup and the totals; empty ones go.';

create or replace function private.tracker_json(p_counters public.tracker_counters)
returns jsonb
language sql immutable set search_path = ''
as $$
  select jsonb_build_object(
    'prompts', coalesce(p_counters.prompts, 0),
    'tokens', coalesce(p_counters.tokens, 0),
    'enabled', coalesce(p_counters.enabled, true)
  )
$$;
comment on function private.tracker_json(public.tracker_counters) is
  'Returns an account''s counters as {prompts, tokens, enabled}, also for a row that is not there yet.';

create or replace function private.usage_between(p_from timestamptz, p_to timestamptz)
returns jsonb
language sql stable set search_path = ''
as $$
  select jsonb_build_object(
    'events', coalesce(sum(events), 0), 'prompts', coalesce(sum(prompts), 0),
    'total_tokens', coalesce(sum(total_tokens), 0), 'cost', coalesce(sum(cost), 0),
    'nano_usd', coalesce(sum(nano_usd), 0)
  ) from public.usage_totals where bucket >= p_from and bucket < p_to
$$;
comment on function private.usage_between(timestamptz, timestamptz) is 'Returns usage of everybody between two quarter hours.';

-- Where retention begins to drop: nothing older is kept as an event. Nor is anything for a month that was dropped once, though
-- retention may have been made longer since: its rollups stayed, and could not be proved from the events any more.
create or replace function private.usage_horizon(p_retention_months integer)
returns timestamptz
language sql stable set search_path = ''
as $$
  select greatest(
           (date_trunc('month', now() at time zone 'UTC') - make_interval(months => p_retention_months))
             at time zone 'UTC',
           (date_trunc('month', dropped.latest at time zone 'UTC') + interval '1 month') at time zone 'UTC'
         )
    from (
      select max(t.bucket) as latest from public.usage_totals t
       where t.bucket < (select min(p.lower_bound) from private.usage_partitions() p)
    ) dropped
$$;
comment on function private.usage_horizon(integer) is
  'Returns the start of the oldest month that events are kept for: what is kept, and was never dropped.';

-- In PL/pgSQL, whose plans a session keeps: a function in SQL would be planned in every transaction.
create or replace function private.weighted_tokens(p_generation public.generations, p_input bigint, p_output bigint)
returns bigint
language plpgsql immutable set search_path = ''
as $$
begin
  return ceil(p_input * p_generation.input_weight + p_output * p_generation.output_weight);
end
$$;
comment on function private.weighted_tokens(public.generations, bigint, bigint) is
  'Returns what tokens of a generation debit, by the weights its hold was taken with.';

-- An account is named by its id, or as google:<subject> where only the access token of Google's is at hand.
create or replace function public.account_tier(p_account text)
returns text
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: reads everybody's subscription, which no API role may.
declare
  v_user_id uuid;
begin
  if p_account like 'google:%' then
    select e.user_id into v_user_id
      from private.external_identities e
     where e.provider = 'google' and e.subject = substr(p_account, length('google:') + 1);
  else
    v_user_id := p_account::uuid;
  end if;
  return (select public.effective_tier(s) from public.subscriptions s where s.user_id = v_user_id);
end
$$;
grant execute on function public.account_tier(text) to service_role;
comment on function public.account_tier(text) is
  'Returns the tier whose limits hold for an account, named by its id or as google:<subject>; null without a subscription.';

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
    insert into private.idempotency_keys (subject_id, key, request_hash, answer)
    values ((p_actor ->> 'id')::uuid, p_key, sha256(convert_to(v_request::text, 'UTF8')), v_answer);
  end if;
  return v_answer;
end
$$;
grant execute on function public.allocate(jsonb, text, uuid, bigint, uuid, text) to service_role;
comment on function public.allocate(jsonb, text, uuid, bigint, uuid, text) is
  'Gives tokens from the pool, takes unused ones back (negative), or moves them between two subjects. Returns the balance, with from for a transfer; raises BUDGET_EXCEEDED, INSUFFICIENT_TOKENS, SELF_TRANSFER, …_NOT_FOUND, IDEMPOTENCY_MISMATCH.';

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

create or replace function public.authenticate_api_key(p_key_hash text)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: no API role may read private.api_keys.
declare
  v_key private.api_keys;
begin
  select * into v_key from private.api_keys k where k.key_hash = decode(p_key_hash, 'hex');
  if v_key.id is null or v_key.expires_at <= now() then
    raise sqlstate 'PT401' using message = 'INVALID_TOKEN';
  end if;
  -- A key many servers use at once is not written for each of them.
  update private.api_keys set last_used_at = now()
   where id = v_key.id and (last_used_at is null or last_used_at < now() - interval '30 seconds');
  return jsonb_build_object('id', v_key.user_id, 'api_key_id', v_key.id, 'scopes', v_key.scopes);
end
$$;
grant execute on function public.authenticate_api_key(text) to service_role;
comment on function public.authenticate_api_key(text) is
  'Returns whose key this is (SHA-256 in hex): {id, api_key_id, scopes}, and notes its use. Raises INVALID_TOKEN for one that is unknown or has ended.';

create or replace function public.begin_admin_login(p_username text, p_address text)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: reads password hashes and counters, which no API role may.
declare
  v_wait integer := private.login_wait('admin', p_username, p_address);
  v_admin private.admins;
begin
  if v_wait is not null then
    return jsonb_build_object('allowed', false, 'retry_after', v_wait);
  end if;
  select * into v_admin from private.admins where username = p_username;
  return jsonb_build_object(
    'allowed', true, 'id', v_admin.id, 'password_hash', v_admin.password_hash,
    'secret', (
      select f.secret from private.admin_second_factors f where f.admin_id = v_admin.id and f.confirmed_at is not null
    )
  );
end
$$;
grant execute on function public.begin_admin_login(text, text) to service_role;
comment on function public.begin_admin_login(text, text) is
  'Counts a log-in attempt before any hashing. Returns {allowed, retry_after} or {allowed, id, password_hash, secret}: nulls for an unknown name, secret null without a second factor.';

create or replace function public.begin_admin_proof(p_actor jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: reads password hashes and secrets and counts attempts, which no API role may.
declare
  v_id uuid := (p_actor ->> 'id')::uuid;
  v_wait integer;
begin
  perform private.require_admin(p_actor, null);
  v_wait := private.count_attempt('admin:proof', v_id::text, 10, interval '15 minutes');
  if v_wait is not null then
    return jsonb_build_object('allowed', false, 'retry_after', v_wait);
  end if;
  return (
    select jsonb_build_object(
             'allowed', true, 'username', a.username, 'password_hash', a.password_hash, 'secret', f.secret,
             'confirmed', coalesce(f.confirmed_at is not null, false)
           )
      from private.admins a left join private.admin_second_factors f on f.admin_id = a.id
     where a.id = v_id
  );
end
$$;
grant execute on function public.begin_admin_proof(jsonb) to service_role;
comment on function public.begin_admin_proof(jsonb) is
  'Counts an attempt of the calling admin at proving who they are. Returns {allowed, retry_after} or {allowed, username, password_hash, secret, confirmed}: the second factor''s, null without one.';

create or replace function public.begin_password_change(p_caller jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: reads a password hash and counts attempts, which no API role may.
declare
  v_user_id uuid := private.require_user(p_caller);
  v_wait integer := private.count_attempt('user:password', v_user_id::text, 10, interval '15 minutes');
begin
  if v_wait is not null then
    return jsonb_build_object('allowed', false, 'retry_after', v_wait);
  end if;
  return jsonb_build_object(
    'allowed', true,
    'email', (select u.email from public.users u where u.id = v_user_id),
    'password_hash', (select c.password_hash from private.user_credentials c where c.user_id = v_user_id)
  );
end
$$;
grant execute on function public.begin_password_change(jsonb) to service_role;
comment on function public.begin_password_change(jsonb) is
  'Counts an attempt before any hashing. Returns {allowed, retry_after} or {allowed, email, password_hash}, null for an account without a password.';

create or replace function public.begin_second_factor(p_actor jsonb, p_secret text)
returns boolean
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes private.admin_second_factors, which no API role may.
begin
  perform private.require_admin(p_actor, null);
  insert into private.admin_second_factors as f (admin_id, secret) values ((p_actor ->> 'id')::uuid, p_secret)
  on conflict (admin_id) do update set secret = excluded.secret, created_at = now() where f.confirmed_at is null;
  if not found then
    raise sqlstate 'PT409' using message = 'SECOND_FACTOR_EXISTS';
  end if;
  return true;
end
$$;
grant execute on function public.begin_second_factor(jsonb, text) to service_role;
comment on function public.begin_second_factor(jsonb, text) is
  'Keeps the secret of a second factor that is still to be confirmed; raises SECOND_FACTOR_EXISTS.';

create or replace function public.begin_user_login(p_email text, p_address text)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: reads password hashes and counters, which no API role may.
declare
  v_user_id uuid;
  v_password_hash text;
  v_changed_at timestamptz;
  v_wait integer;
begin
  select u.id, c.password_hash, c.updated_at into v_user_id, v_password_hash, v_changed_at
    from public.users u left join private.user_credentials c on c.user_id = u.id
   where u.email = p_email;
  v_wait := private.login_wait('user', coalesce(v_user_id::text, p_email), p_address);
  if v_wait is not null then
    return jsonb_build_object('allowed', false, 'retry_after', v_wait);
  end if;
  return jsonb_build_object(
    'allowed', true, 'user_id', v_user_id, 'password_hash', v_password_hash, 'changed_at', v_changed_at
  );
end
$$;
grant execute on function public.begin_user_login(text, text) to service_role;
comment on function public.begin_user_login(text, text) is
  'Counts a log-in attempt before any hashing. Returns {allowed, retry_after} or {allowed, user_id, password_hash, changed_at}, nulls for an unknown address or an account without password.';

create or replace function public.change_admin_password(
  p_actor jsonb, p_password_hash text, p_verified_hash text, p_session jsonb
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes private.admins, which no API role may.
declare
  v_actor text := private.require_admin(p_actor, null);
  v_id uuid := (p_actor ->> 'id')::uuid;
  v_second_factor boolean;
begin
  select s.second_factor into v_second_factor
    from private.admin_sessions s where s.id = (p_actor ->> 'session_id')::uuid;
  -- Of two changes at once the second finds another hash than the one its current password was checked against.
  update private.admins set password_hash = p_password_hash, version = version + 1, updated_at = now()
   where id = v_id and password_hash = p_verified_hash;
  if not found then
    raise sqlstate 'PT401' using message = 'INVALID_TOKEN';
  end if;
  delete from private.admin_sessions where admin_id = v_id;
  delete from private.login_attempts where scope = 'admin:proof' and key = v_id::text;
  perform private.audit_admin(p_actor, 'change_password', v_actor);
  return private.open_admin_session(v_id, p_session, v_second_factor);
end
$$;
grant execute on function public.change_admin_password(jsonb, text, text, jsonb) to service_role;
comment on function public.change_admin_password(jsonb, text, text, jsonb) is
  'Sets the calling admin''s password where it still is the verified one, ends all their sessions and opens another; returns that as open_admin_session does.';

create or replace function public.change_password(
  p_caller jsonb, p_password_hash text, p_verified_hash text default null, p_revoke_keys boolean default false
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
  return jsonb_build_object(
    'ended', private.end_sessions(v_user_id, (p_caller ->> 'session_id')::uuid),
    'api_keys', private.keys_after_password(v_user_id, p_revoke_keys),
    'email', (select u.email from public.users u where u.id = v_user_id)
  );
end
$$;
grant execute on function public.change_password(jsonb, text, text, boolean) to service_role;
comment on function public.change_password(jsonb, text, text, boolean) is
  'Sets the password where it still is the verified one, or the first one where none was verified, and ends every other session, mailed links and, where wished, the API keys. Returns {ended, api_keys, email}: those that go on, and whose they are; raises INVALID_CREDENTIALS, and PROOF_REQUIRED for the first one.';

create or replace function public.change_tracker(p_caller jsonb, p_changes jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: counters, events and the audit log are written by no API role.
declare
  v_user_id uuid := private.lock_user(p_caller);
begin
  if p_changes <> '{}' then
    perform private.count_recorded_act(v_user_id);
  end if;
  return private.apply_tracker_changes(v_user_id, p_changes, 'user:' || v_user_id, null);
end
$$;
grant execute on function public.change_tracker(jsonb, jsonb) to service_role;
comment on function public.change_tracker(jsonb, jsonb) is
  'Changes the caller''s tracker: {prompts, tokens} replace what was counted, {enabled: false} ends all tracker tokens and makes no more, {revoke: true} ends them, {} only reads. Returns {prompts, tokens, enabled}; raises RATE_LIMITED.';

create or replace function public.change_user_tracker(p_actor jsonb, p_user_id uuid, p_changes jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: counters, events and the audit log are written by no API role.
declare
  v_actor text := private.require_admin(p_actor, case when p_changes = '{}' then 'viewer' else 'operator' end);
begin
  perform from public.users u where u.id = p_user_id for no key update;
  if not found then
    raise sqlstate 'PT404' using message = 'USER_NOT_FOUND';
  end if;
  return private.apply_tracker_changes(p_user_id, p_changes, v_actor, p_actor ->> 'request_id');
end
$$;
grant execute on function public.change_user_tracker(jsonb, uuid, jsonb) to service_role;
comment on function public.change_user_tracker(jsonb, uuid, jsonb) is
  'Does for an admin with any account what change_tracker does with one''s own; raises USER_NOT_FOUND.';

create or replace function public.changed_states(p_listeners jsonb)
returns jsonb
language sql stable security definer set search_path = ''
as $$
-- Definer: asks for sessions and keys, and reads what belongs to many people.
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
    left join public.settings s on s.user_id = l.id
    left join public.balances b on b.subject_id = l.id
   where not l.live
      or (coalesce(s.version, 0), coalesce(b.allocated, 0), coalesce(b.used, 0), coalesce(b.reserved, 0))
        is distinct from (l.version, l.allocated, l.used, l.reserved)
$$;
grant execute on function public.changed_states(jsonb) to service_role;
comment on function public.changed_states(jsonb) is
  'Returns which of an array of listeners {id, session_id | api_key_id, version, allocated, used, reserved} know another state than the present one, or may listen no longer: [{position, live, version, allocated, used, reserved}].';

create or replace function public.confirm_fresh_user(p_caller jsonb)
returns boolean
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: no API role may read sessions and keys.
begin
  perform private.require_user(p_caller);
  perform private.require_fresh(p_caller);
  return true;
end
$$;
grant execute on function public.confirm_fresh_user(jsonb) to service_role;
comment on function public.confirm_fresh_user(jsonb) is
  'Returns true where the caller proved who they are within 5 minutes, before what cannot be undone begins; raises INVALID_TOKEN, PROOF_REQUIRED.';

create or replace function public.confirm_second_factor(
  p_actor jsonb, p_secret text, p_step bigint, p_recovery_hashes text[], p_session jsonb
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes second factors and sessions, which no API role may.
declare
  v_actor text := private.require_admin(p_actor, null);
  v_id uuid := (p_actor ->> 'id')::uuid;
begin
  update private.admin_second_factors set confirmed_at = now(), last_step = p_step
   where admin_id = v_id and secret = p_secret and confirmed_at is null;
  if not found then
    raise sqlstate 'PT409' using message = 'SECOND_FACTOR_EXISTS';
  end if;
  delete from private.admin_recovery_codes where admin_id = v_id;
  insert into private.admin_recovery_codes (admin_id, code_hash)
  select v_id, decode(h, 'hex') from unnest(p_recovery_hashes) h;
  -- Whoever is logged in without it is logged out: the sessions were opened by the password alone.
  delete from private.admin_sessions where admin_id = v_id;
  delete from private.login_attempts where scope = 'admin:proof' and key = v_id::text;
  perform private.audit_admin(p_actor, 'enrol_second_factor', v_actor);
  return private.open_admin_session(v_id, p_session, true);
end
$$;
grant execute on function public.confirm_second_factor(jsonb, text, bigint, text[], jsonb) to service_role;
comment on function public.confirm_second_factor(jsonb, text, bigint, text[], jsonb) is
  'Turns the second factor on, of which a code was shown, with the hashes (hex) of its recovery codes; ends every session and opens one. Raises SECOND_FACTOR_EXISTS where another one was confirmed meanwhile.';

create or replace function public.confirm_user(p_caller jsonb, p_scope text)
returns boolean
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: no API role may read sessions and keys.
begin
  return private.require_user(p_caller, p_scope) is not null;
end
$$;
grant execute on function public.confirm_user(jsonb, text) to service_role;
comment on function public.confirm_user(jsonb, text) is
  'Returns true where the caller''s session, or key with this scope, is good, for what asks the database nothing else; raises what require_user does.';

create or replace function public.correct_generation(
  p_id uuid, p_input_tokens bigint, p_output_tokens bigint, p_nano_usd bigint default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes balances, pools and the ledger, which no API role may.
declare
  v_generation public.generations;
  v_input bigint := p_input_tokens;
  v_output bigint := p_output_tokens;
  v_provenance text := 'provider_final';
  v_amount bigint;
begin
  -- The pool before the balance, as everywhere.
  perform from public.budgets where subject_kind = 'user' for update;
  perform from public.balances b join public.generations g on g.subject_id = b.subject_id
    where g.id = p_id for update of b;
  select g.* into v_generation from public.generations g where g.id = p_id;
  if v_generation.provenance is distinct from 'estimated' then
    return '{"corrected": false, "amount": 0}';
  end if;
  -- A count that what was seen contradicts changes nothing: the estimate stands, and upstream is asked again.
  if v_input < v_generation.input_floor then
    v_input := greatest(v_input, v_generation.input_tokens);
    v_provenance := 'estimated';
  end if;
  if v_output < v_generation.output_floor then
    v_output := greatest(v_output, v_generation.output_tokens);
    v_provenance := 'estimated';
  end if;
  if v_provenance = 'provider_final' then
    v_generation.reconcile_at := null;
  end if;
  v_amount := private.change_settlement(
    v_generation, v_provenance, v_input, v_output, p_nano_usd, 'system:reconciliation'
  );
  return jsonb_build_object('corrected', v_provenance = 'provider_final' or v_amount <> 0, 'amount', v_amount);
end
$$;
grant execute on function public.correct_generation(uuid, bigint, bigint, bigint) to service_role;
comment on function public.correct_generation(uuid, bigint, bigint, bigint) is
  'Corrects an estimated generation to what upstream counted, by a ledger entry; a number that is less than what was seen can be leaves the estimate. Returns {corrected, amount}: tokens given back, or taken where negative.';

create or replace function public.create_admin(p_actor jsonb, p_username text, p_password_hash text, p_role text)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: no API role may write private.admins.
declare
  v_admin private.admins;
begin
  lock table private.admins in share row exclusive mode;
  perform private.require_admin(p_actor, 'owner');
  insert into private.admins (username, password_hash, role) values (p_username, p_password_hash, p_role)
  on conflict (username) do nothing
  returning * into v_admin;
  if v_admin.id is null then
    raise sqlstate 'PT409' using message = 'ADMIN_EXISTS';
  end if;
  perform private.audit_admin(p_actor, 'create_admin', 'admin:' || p_username, null, jsonb_build_object('role', p_role));
  return private.admin_json(v_admin);
end
$$;
grant execute on function public.create_admin(jsonb, text, text, text) to service_role;
comment on function public.create_admin(jsonb, text, text, text) is
  'Creates an admin, for an owner; returns them, raises ADMIN_EXISTS for a name that is taken.';

create or replace function public.create_api_key(
  p_caller jsonb, p_name text, p_prefix text, p_key_hash text, p_scopes text[], p_expires_at text default null
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
  return private.api_key_json(v_key)
    || jsonb_build_object('owner_email', (select u.email from public.users u where u.id = v_user_id));
exception
  -- Well formed, but there is no such time.
  when data_exception then
    raise sqlstate 'PT400' using message = 'VALIDATION_FAILED';
end
$$;
grant execute on function public.create_api_key(jsonb, text, text, text, text[], text) to service_role;
comment on function public.create_api_key(jsonb, text, text, text, text[], text) is
  'Keeps a new key''s SHA-256 (hex) and returns the key without it, and the address of its owner; one made by a key ends with it at the latest. Raises API_KEY_LIMIT beyond 50, RATE_LIMITED, VALIDATION_FAILED for an end in the past.';

-- The audit log can never be cleaned, so it does not name the address.
create or replace function public.create_invitation(
  p_actor jsonb, p_code_hash text, p_days integer, p_email text default null, p_tokens bigint default null
)
returns jsonb
language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: writes invitations, which no API role may.
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
  return private.invitation_json(v_invitation);
end
$$;
grant execute on function public.create_invitation(jsonb, text, integer, text, bigint) to service_role;
comment on function public.create_invitation(jsonb, text, integer, text, bigint) is
  'Keeps an invitation by the SHA-256 (hex) of its code, for some days; with an address it is good for that one only. Returns it; raises EMAIL_TAKEN.';

-- The audit log can never be cleaned, so an account is named in it by its id only.
create or replace function public.create_user(
  p_actor jsonb, p_email text, p_default_tokens bigint, p_name text default null, p_password_hash text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: writes users, credentials and balances, which no API role may.
declare
  v_actor text := private.require_admin(p_actor);
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
  perform private.audit_admin(
    p_actor, 'create_user', 'user:' || v_user.id, null, private.balance_json(v_user.id)
  );
  return private.user_json(v_user);
end
$$;
grant execute on function public.create_user(jsonb, text, bigint, text, text) to service_role;
comment on function public.create_user(jsonb, text, bigint, text, text) is
  'Creates an account with its default tokens; the password hash may be null. Returns the account; raises EMAIL_TAKEN.';

create or replace function public.current_device_id()
returns uuid
language sql stable security definer set search_path = ''
as $$
-- Definer: policies ask for it before they let a device see any row.
  select d.id
    from public.devices d
   where d.id = (auth.jwt() ->> 'device_id')::uuid
     and d.token_version = (auth.jwt() ->> 'device_version')::integer
     and not d.blocked and d.deleted_at is null
$$;
grant execute on function public.current_device_id() to authenticated;
comment on function public.current_device_id() is
  'Returns the device the request''s token is about; null where that is blocked or removed, or the token''s version (device_version) has ended.';

create or replace function public.current_user_id()
returns uuid
language sql stable security definer set search_path = ''
as $$
-- Definer: no API role may read sessions and keys, but policies must ask for them.
  select c.user_id
    from (
      select (auth.jwt() ->> 'sub')::uuid as user_id, (auth.jwt() ->> 'sid')::uuid as session_id,
             (auth.jwt() ->> 'key_id')::uuid as api_key_id
    ) c
   where private.credential_problem(c.user_id, c.session_id, c.api_key_id, null) is null
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
    'top_devices', (
      select coalesce(jsonb_agg(to_jsonb(t) order by t.used desc, t.id), '[]')
        from (
          select d.id, d.name, b.used, b.allocated
            from (
              -- Sorted before the join, as sorting numbers is cheap; more than ten, as some may be deleted.
              select subject_id, used, allocated from public.balances
               where subject_kind = 'device' and used > 0 order by used desc, subject_id limit 1000
            ) b
            join public.devices d on d.id = b.subject_id
           where d.deleted_at is null
           order by b.used desc, d.id
           limit 10
        ) t
    )
  );
end
$$;
grant execute on function public.dashboard(jsonb, integer, text, text, text, uuid) to service_role;
comment on function public.dashboard(jsonb, integer, text, text, text, uuid) is
  'Returns what the admin dashboard shows: pools, one page of devices, 30 days of usage, the ten devices that used most in this period.';

create or replace function public.delete_account(p_caller jsonb)
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
  return jsonb_build_object('deleted', true, 'email', private.remove_account(v_user_id));
end
$$;
grant execute on function public.delete_account(jsonb) to service_role;
comment on function public.delete_account(jsonb) is
  'Removes the caller''s account with everything personal; its anonymous usage and ledger stay, its unused tokens return to the pool. Returns {deleted, email}; raises PROOF_REQUIRED.';

create or replace function public.delete_account_as(p_actor jsonb, p_user_id uuid)
returns jsonb
language plpgsql volatile security definer set search_path = '' set statement_timeout = '15min'
as $$
-- Definer: removes what no API role may write.
declare
  v_target text;
begin
  perform private.require_admin(p_actor);
  v_target := private.require_account(p_user_id);
  perform private.remove_account(p_user_id);
  perform private.audit_admin(p_actor, 'delete_user', v_target);
  return jsonb_build_object('deleted', true);
end
$$;
grant execute on function public.delete_account_as(jsonb, uuid) to service_role;
comment on function public.delete_account_as(jsonb, uuid) is
  'Removes an account as its owner could. Returns {deleted}; raises USER_NOT_FOUND, and SUBSCRIPTION_RUNNING while Stripe knows the person.';

create or replace function public.delete_admin(p_actor jsonb, p_id uuid)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: no API role may write private.admins.
declare
  v_username text;
begin
  lock table private.admins in share row exclusive mode;
  perform private.require_admin(p_actor, 'owner');
  select a.username into v_username from private.admins a where a.id = p_id;
  if not found then
    raise sqlstate 'PT404' using message = 'ADMIN_NOT_FOUND';
  end if;
  perform private.audit_admin(p_actor, 'remove_admin', 'admin:' || v_username);
  delete from private.admins where id = p_id;
  perform private.keep_an_owner();
  return jsonb_build_object('id', p_id, 'deleted', true);
end
$$;
grant execute on function public.delete_admin(jsonb, uuid) to service_role;
comment on function public.delete_admin(jsonb, uuid) is
  'Removes an admin, for an owner; their tokens end. Returns {id, deleted}; raises ADMIN_NOT_FOUND, LAST_OWNER.';

create or replace function public.delete_api_key(p_caller jsonb, p_id uuid)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: no API role may read private.api_keys.
declare
  v_user_id uuid := private.require_user(p_caller);
begin
  delete from private.api_keys where id = p_id and user_id = v_user_id;
  if not found then
    raise sqlstate 'PT404' using message = 'API_KEY_NOT_FOUND';
  end if;
  perform private.audit(
    'user:' || v_user_id, null, 'delete_api_key', 'user:' || v_user_id, jsonb_build_object('id', p_id), null
  );
  return jsonb_build_object('id', p_id, 'deleted', true);
end
$$;
grant execute on function public.delete_api_key(jsonb, uuid) to service_role;
comment on function public.delete_api_key(jsonb, uuid) is 'Ends one of the account''s keys. Returns {id, deleted}; raises API_KEY_NOT_FOUND.';

create or replace function public.delete_device(p_actor jsonb, p_device_id uuid)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes devices, balances, the pool and the ledger, which no API role may.
declare
  v_actor text := private.require_admin(p_actor);
  v_before jsonb;
  v_unused bigint;
begin
  perform from public.budgets where subject_kind = 'device' for update;
  v_before := private.lock_device(p_device_id);
  v_unused := private.close_device(p_device_id, v_actor, 'device deleted');
  perform private.audit_admin(
    p_actor, 'delete_device', 'device:' || p_device_id, v_before,
    jsonb_build_object('returned', v_unused)
  );
  return jsonb_build_object('device_id', p_device_id, 'returned', v_unused);
end
$$;
grant execute on function public.delete_device(jsonb, uuid) to service_role;
comment on function public.delete_device(jsonb, uuid) is
  'Removes a device: its tokens die, its unused tokens return to the pool, its usage stays. Returns {device_id, returned}.';

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
  perform private.audit_admin(p_actor, 'delete_invitation', 'invitation:' || p_id);
  return jsonb_build_object('deleted', true);
end
$$;
grant execute on function public.delete_invitation(jsonb, uuid) to service_role;
comment on function public.delete_invitation(jsonb, uuid) is
  'Removes an invitation, which nobody can redeem any more; an account made with it stays. Returns {deleted}; raises INVITATION_NOT_FOUND.';

create or replace function public.delete_usage(p_caller jsonb, p_id uuid)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: events are append-only for every API role.
declare
  v_user_id uuid := private.require_user(p_caller, 'usage:write');
  v_event public.usage_events;
begin
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

create or replace function public.device_usage(
  p_device_id uuid, p_limit integer, p_from text, p_to text, p_time_zone text,
  p_before_at text default null, p_before_id uuid default null
)
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
begin
  perform public.require_device_reader(p_device_id);
  return public.list_usage(
    p_limit, p_from, p_to, p_time_zone, '{}', p_before_at, p_before_id, array[p_device_id]
  );
end
$$;
grant execute on function public.device_usage(uuid, integer, text, text, text, text, uuid) to authenticated;
comment on function public.device_usage(uuid, integer, text, text, text, text, uuid) is
  'Returns the usage events of one device to itself or its owner, as list_usage does. Raises what require_device_reader does, and RANGE_NOT_VALID.';

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

create or replace function public.end_account_sessions(p_actor jsonb, p_user_id uuid, p_api_keys boolean)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes sessions and keys, which no API role may.
declare
  v_target text;
  v_ended jsonb;
  v_keys integer := 0;
begin
  perform private.require_admin(p_actor);
  v_target := private.require_account(p_user_id);
  if p_api_keys then
    delete from private.api_keys where user_id = p_user_id;
    get diagnostics v_keys = row_count;
  end if;
  v_ended := jsonb_build_object('ended', private.end_sessions(p_user_id), 'api_keys', v_keys);
  perform private.audit_admin(p_actor, 'end_user_sessions', v_target, null, v_ended);
  return v_ended;
end
$$;
grant execute on function public.end_account_sessions(jsonb, uuid, boolean) to service_role;
comment on function public.end_account_sessions(jsonb, uuid, boolean) is
  'Ends every session of an account and, where wished, every API key. Returns {ended, api_keys}; raises USER_NOT_FOUND.';

create or replace function public.end_admin_sessions(p_actor jsonb, p_session_id uuid default null)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: no API role may write sessions.
declare
  v_actor text := private.require_admin(p_actor, null);
  v_ended integer;
begin
  delete from private.admin_sessions s
   where s.admin_id = (p_actor ->> 'id')::uuid and (p_session_id is null or s.id = p_session_id);
  get diagnostics v_ended = row_count;
  if v_ended = 0 then
    raise sqlstate 'PT404' using message = 'SESSION_NOT_FOUND';
  end if;
  perform private.audit_admin(p_actor, 'end_sessions', v_actor, null, jsonb_build_object('ended', v_ended));
  return jsonb_build_object('ended', v_ended);
end
$$;
grant execute on function public.end_admin_sessions(jsonb, uuid) to service_role;
comment on function public.end_admin_sessions(jsonb, uuid) is
  'Ends one of the calling admin''s sessions, or all of them. Returns {ended}; raises SESSION_NOT_FOUND.';

create or replace function public.export_account(p_caller jsonb)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: no API role may read sessions, keys and identities. Columns are named one by one, so that no secret
-- that is added to a table gets out here.
declare
  v_user_id uuid := private.require_user(p_caller);
begin
  return jsonb_build_object(
    'profile', (select private.profile_json(u) from public.users u where u.id = v_user_id),
    'identities', (
      select coalesce(jsonb_agg(to_jsonb(row) order by row.created_at, row.provider), '[]')
        from (
          select i.provider, i.subject, i.email, i.created_at, i.last_used_at
            from private.external_identities i where i.user_id = v_user_id
        ) row
    ),
    'sessions', (
      select coalesce(jsonb_agg(to_jsonb(row) order by row.created_at, row.id), '[]')
        from (
          select s.id, s.created_at, s.last_used_at, s.expires_at, s.user_agent, s.address
            from private.sessions s where s.user_id = v_user_id
        ) row
    ),
    'api_keys', (
      select coalesce(jsonb_agg(private.api_key_json(k) order by k.created_at, k.id), '[]')
        from private.api_keys k where k.user_id = v_user_id
    ),
    'tracker', (
      select to_jsonb(c) - '{user_id,version,counted_on,day_prompts,day_tokens}'::text[] from public.tracker_counters c where c.user_id = v_user_id
    ),
    'known_addresses', (
      select coalesce(jsonb_agg(to_jsonb(row) order by row.last_login_at, row.address), '[]')
        from (
          select a.address, a.last_login_at from private.known_addresses a where a.account = 'user:' || v_user_id
        ) row
    )
  );
end
$$;
grant execute on function public.export_account(jsonb) to service_role;
comment on function public.export_account(jsonb) is
  'Returns what is held about the caller in few rows: profile, identities, sessions, API keys, tracker counters, addresses logged in from.';

create or replace function public.export_generations(
  p_limit integer, p_after_at timestamptz default '-infinity', p_after_id uuid default '00000000-0000-0000-0000-000000000000'
)
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user();
begin
  return (
    select coalesce(jsonb_agg(to_jsonb(page) order by page.created_at, page.id), '[]')
      from (
        select g.id, g.source, g.model, g.provider, g.upstream_id, g.input_estimate, g.provenance,
               g.input_tokens, g.output_tokens, g.uncollected, g.input_weight, g.output_weight, g.created_at
          from public.generations g
         where g.subject_id = v_user_id and (g.created_at, g.id) > (p_after_at, p_after_id)
         order by g.created_at, g.id
         limit p_limit
      ) page
  );
end
$$;
grant execute on function public.export_generations(integer, timestamptz, uuid) to authenticated;
comment on function public.export_generations(integer, timestamptz, uuid) is
  'Returns the caller''s chat requests, oldest first; after (time, id) to page on.';

create or replace function public.find_google_user(p_identity jsonb, p_default_tokens bigint, p_sign_up text)
returns jsonb
language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: writes users and identities, which no API role may.
declare
  v_user public.users := private.resolve_external_identity(p_identity, p_default_tokens, p_sign_up);
begin
  if v_user.id is null then
    raise sqlstate 'PT401' using message = 'INVALID_ACCESS_TOKEN';
  end if;
  if v_user.suspended_at is not null then
    raise sqlstate 'PT403' using message = 'ACCOUNT_SUSPENDED';
  end if;
  return private.user_json(v_user);
end
$$;
grant execute on function public.find_google_user(jsonb, bigint, text) to service_role;
comment on function public.find_google_user(jsonb, bigint, text) is
  'Returns the account of a person Google vouches for, made where there is none yet; raises INVALID_ACCESS_TOKEN where the address is another person''s, ACCOUNT_SUSPENDED.';

create or replace function public.find_password_reset(p_token_hash text)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: reads private.password_resets, which no API role may.
begin
  return jsonb_build_object('email', (
    select r.email from private.password_resets r
     where r.token_hash = decode(p_token_hash, 'hex') and r.user_id is not null and r.expires_at > now()
  ));
end
$$;
grant execute on function public.find_password_reset(text) to service_role;
comment on function public.find_password_reset(text) is
  'Returns {email}: whose password a mailed token (SHA-256, hex) sets, which the new one must not be; null for no good token.';

create or replace function public.finish_admin_login(
  p_id uuid, p_password_hash text, p_address text, p_session jsonb, p_proof jsonb default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes sessions and counters, which no API role may. Returns an outcome instead of raising, as what was
-- counted and recorded must stay.
declare
  v_admin private.admins;
  v_has_factor boolean;
  v_proved jsonb := '{}';
begin
  -- The hash the password was checked against must still be the admin's; the lock lets no change slip between.
  select * into v_admin from private.admins a where a.id = p_id and a.password_hash = p_password_hash for share;
  if not found then
    return jsonb_build_object('outcome', 'refused');
  end if;
  v_has_factor := exists (
    select from private.admin_second_factors f where f.admin_id = p_id and f.confirmed_at is not null
  );
  if v_has_factor and p_proof is null then
    return jsonb_build_object('outcome', 'second_factor_required');
  elsif v_has_factor then
    v_proved := private.prove_second_factor(p_id, p_proof);
    if v_proved ->> 'outcome' <> 'proved' then
      perform private.audit_admin(p_session || jsonb_build_object('id', p_id), 'fail_second_factor', 'admin:' || v_admin.username);
      return v_proved;
    end if;
  end if;
  perform private.login_succeeded('admin', v_admin.username, p_address);
  perform private.audit_admin(
    p_session || jsonb_build_object('id', p_id), 'sign_in', 'admin:' || v_admin.username, null,
    jsonb_build_object('second_factor', v_has_factor, 'recovery_code', p_proof ? 'recovery_hash')
  );
  return jsonb_build_object('outcome', 'opened') || private.open_admin_session(p_id, p_session, v_has_factor);
end
$$;
grant execute on function public.finish_admin_login(uuid, text, text, jsonb, jsonb) to service_role;
comment on function public.finish_admin_login(uuid, text, text, jsonb, jsonb) is
  'After the right password: opens a session {lifetime_seconds, user_agent, address, request_id} and returns it with {outcome: opened}; refused where the password was changed, second_factor_required, or what prove_second_factor says.';

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
  'After the right password: opens a session, if the password was not changed since, and keeps a hash of it made with today''s pepper, where one is given. Returns {session_id, user, new_network}; raises INVALID_CREDENTIALS, ACCOUNT_SUSPENDED.';

create or replace function public.get_account(p_actor jsonb, p_user_id uuid)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: reads every account, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  return private.account_json(p_user_id);
end
$$;
grant execute on function public.get_account(jsonb, uuid) to service_role;
comment on function public.get_account(jsonb, uuid) is 'Returns an account for an admin; raises USER_NOT_FOUND.';

create or replace function public.get_budget(p_actor jsonb, p_kind text)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: reads every balance, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  return private.budget_json(p_kind);
end
$$;
grant execute on function public.get_budget(jsonb, text) to service_role;
comment on function public.get_budget(jsonb, text) is 'Returns the pool of devices or users with its totals.';

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

create or replace function public.issue_oauth_code(
  p_identity jsonb, p_default_tokens bigint, p_sign_up text, p_code_hash text, p_redirect_uri text,
  p_code_challenge text default null
)
returns boolean
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes users, identities and codes, which no API role may.
declare
  v_user public.users := private.resolve_external_identity(p_identity, p_default_tokens, p_sign_up);
begin
  if v_user.id is null then
    raise sqlstate 'PT401' using message = 'INVALID_CREDENTIALS';
  end if;
  insert into private.oauth_codes (code_hash, user_id, redirect_uri, code_challenge)
  values (decode(p_code_hash, 'hex'), v_user.id, p_redirect_uri, p_code_challenge);
  return true;
end
$$;
grant execute on function public.issue_oauth_code(jsonb, bigint, text, text, text, text) to service_role;
comment on function public.issue_oauth_code(jsonb, bigint, text, text, text, text) is
  'Keeps for 2 minutes the SHA-256 (hex) of a code that opens a session for a provider''s identity; raises INVALID_CREDENTIALS, and SIGNUP_CLOSED or INVITATION_REQUIRED for somebody new.';

create or replace function public.list_account_api_keys(p_actor jsonb, p_user_id uuid)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: reads keys, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  perform private.account_json(p_user_id);
  return private.api_keys_json(p_user_id);
end
$$;
grant execute on function public.list_account_api_keys(jsonb, uuid) to service_role;
comment on function public.list_account_api_keys(jsonb, uuid) is
  'Returns the API keys of an account without their secrets, newest first; raises USER_NOT_FOUND.';

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
               b.allocated, b.used, b.allocated - b.used - b.reserved as remaining
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
  return (
    select coalesce(jsonb_agg(to_jsonb(page) order by page.created_at desc, page.id desc), '[]')
      from (
        select e.id, e.kind, e.amount, e.actor, e.reference, e.created_at
          from public.ledger_entries e
         where e.subject_id = p_user_id
           and (p_before_id is null or (e.created_at, e.id) < (p_before_at::timestamptz, p_before_id))
         order by e.created_at desc, e.id desc
         limit p_limit
      ) page
  );
exception
  -- The cursor comes from the caller.
  when data_exception then
    raise sqlstate 'PT400' using message = 'VALIDATION_FAILED';
end
$$;
grant execute on function public.list_account_ledger(jsonb, uuid, integer, text, uuid) to service_role;
comment on function public.list_account_ledger(jsonb, uuid, integer, text, uuid) is
  'Returns what changed the allocation of an account and who did it, newest first; before (time, id) to page on. Raises USER_NOT_FOUND.';

create or replace function public.list_admin_sessions(p_actor jsonb)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: no API role may read sessions.
begin
  perform private.require_admin(p_actor, null);
  return (
    select coalesce(jsonb_agg(to_jsonb(page) order by page.created_at desc, page.id desc), '[]')
      from (
        select s.id, s.created_at, s.expires_at, s.user_agent, s.address, s.second_factor,
               s.id = (p_actor ->> 'session_id')::uuid as current
          from private.admin_sessions s
         where s.admin_id = (p_actor ->> 'id')::uuid and s.expires_at > now()
         order by s.created_at desc, s.id desc
         limit 200
      ) page
  );
end
$$;
grant execute on function public.list_admin_sessions(jsonb) to service_role;
comment on function public.list_admin_sessions(jsonb) is 'Returns the calling admin''s running sessions, newest first, 200 at most.';

create or replace function public.list_admins(p_actor jsonb)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: no API role may read private.admins.
begin
  perform private.require_admin(p_actor, 'owner');
  return (select coalesce(jsonb_agg(private.admin_json(a) order by a.username), '[]') from private.admins a);
end
$$;
grant execute on function public.list_admins(jsonb) to service_role;
comment on function public.list_admins(jsonb) is 'Returns all admins by name, for an owner.';

create or replace function public.list_all_usage(
  p_actor jsonb, p_limit integer, p_from text, p_to text, p_time_zone text, p_filter jsonb default '{}',
  p_before_at text default null, p_before_id uuid default null, p_user_id uuid default null
)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: an admin may ask about everybody, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  return public.list_usage(
    p_limit, p_from, p_to, p_time_zone, p_filter, p_before_at, p_before_id, private.account_subjects(p_user_id)
  );
end
$$;
grant execute on function public.list_all_usage(jsonb, integer, text, text, text, jsonb, text, uuid, uuid) to service_role;
comment on function public.list_all_usage(jsonb, integer, text, text, text, jsonb, text, uuid, uuid) is
  'Runs list_usage for an admin: of everybody, or of one account with its devices.';

create or replace function public.list_api_keys(p_caller jsonb)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: no API role may read private.api_keys.
declare
  v_user_id uuid := private.require_user(p_caller);
begin
  return private.api_keys_json(v_user_id);
end
$$;
grant execute on function public.list_api_keys(jsonb) to service_role;
comment on function public.list_api_keys(jsonb) is 'Returns the account''s keys, newest first; at most 50, so that one answer holds them all.';

create or replace function public.list_audit(p_actor jsonb, p_limit integer, p_before bigint default null, p_target text default null)
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
         order by a.id desc
         limit p_limit
      ) page
  );
end
$$;
grant execute on function public.list_audit(jsonb, integer, bigint, text) to service_role;
comment on function public.list_audit(jsonb, integer, bigint, text) is 'Returns the audit log, newest first; before an id to page on, a target to follow one thing.';

create or replace function public.list_invitations(
  p_actor jsonb, p_limit integer, p_before_at text default null, p_before_id uuid default null
)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: reads invitations, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  return (
    select coalesce(jsonb_agg(private.invitation_json(page) order by page.created_at desc, page.id desc), '[]')
      from (
        select i.* from private.invitations i
         where p_before_id is null or (i.created_at, i.id) < (p_before_at::timestamptz, p_before_id)
         order by i.created_at desc, i.id desc
         limit p_limit
      ) page
  );
exception
  -- The cursor comes from the caller.
  when data_exception then
    raise sqlstate 'PT400' using message = 'VALIDATION_FAILED';
end
$$;
grant execute on function public.list_invitations(jsonb, integer, text, uuid) to service_role;
comment on function public.list_invitations(jsonb, integer, text, uuid) is
  'Returns invitations, newest first; before (time, id) to page on.';

create or replace function public.list_model_costs(p_actor jsonb)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: no API role may read model_costs.
begin
  perform private.require_admin(p_actor, 'viewer');
  return (select jsonb_agg(jsonb_build_object('model', c.model, 'cost', c.cost, 'updated_at', c.updated_at) order by c.model)
            from public.model_costs c);
end
$$;
grant execute on function public.list_model_costs(jsonb) to service_role;
comment on function public.list_model_costs(jsonb) is 'Returns all prices; the model * is the price of every other one.';

create or replace function public.list_model_weights(p_actor jsonb)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: no API role may read model_weights.
begin
  perform private.require_admin(p_actor, 'viewer');
  return (select coalesce(jsonb_agg(to_jsonb(w) order by w.model), '[]') from public.model_weights w);
end
$$;
grant execute on function public.list_model_weights(jsonb) to service_role;
comment on function public.list_model_weights(jsonb) is 'Returns all weights of models; those without a row weigh 1.';

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
          from public.period_balances b join public.devices d on d.id = b.subject_id
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
                select allocated, used from public.balances where period = p.number and subject_kind = 'device' and p.closed_at is null
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

create or replace function public.list_usage(
  p_limit integer, p_from text, p_to text, p_time_zone text, p_filter jsonb default '{}',
  p_before_at text default null, p_before_id uuid default null, p_subjects uuid[] default public.own_subjects()
)
returns jsonb
language plpgsql stable set search_path = '' set timezone = 'UTC'
as $$
declare
  v_range record;
  v_subjects uuid[] := case
    when p_filter ? 'device' and (p_filter ->> 'device')::uuid = any (p_subjects) is not false
      then array[(p_filter ->> 'device')::uuid]
    when p_filter ? 'device' then '{}'
    else coalesce(p_subjects, array[null::uuid])
  end;
begin
  select * into v_range from public.usage_range(p_from, p_to, p_time_zone);
  return (
    select coalesce(jsonb_agg(to_jsonb(page) order by page.occurred_at desc, page.id desc), '[]')
      from (
        select e.id, e.user_id, e.device_id, e.provider, e.model, e.source, e.prompt_count as prompts, e.input_tokens,
               e.output_tokens, e.total_tokens, e.cost, e.nano_usd, e.provenance, e.url, e.occurred_at, e.created_at
          from unnest(v_subjects) s(subject_id)
         -- Each subject's newest, by the index; the newest of all are among them.
         cross join lateral public.usage_page(
           s.subject_id, p_limit, v_range.range_from, v_range.range_to, p_filter, p_before_at::timestamptz, p_before_id
         ) e
         order by e.occurred_at desc, e.id desc
         limit p_limit
      ) page
  );
exception
  -- The cursor comes from the caller.
  when data_exception then
    raise sqlstate 'PT400' using message = 'VALIDATION_FAILED';
end
$$;
grant execute on function public.list_usage(integer, text, text, text, jsonb, text, uuid, uuid[]) to authenticated;
comment on function public.list_usage(integer, text, text, text, jsonb, text, uuid, uuid[]) is
  'Returns usage events of the caller and their devices in a range, newest first, filtered by any of provider, model, source, device; before (time, id) to page on.';

create or replace function public.list_users(
  p_actor jsonb, p_limit integer, p_query text default null, p_after_at text default null, p_after_id uuid default null
)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: reads every account, which no API role may.
declare
  v_pattern text := '%' || replace(replace(replace(lower(p_query), '\', '\\'), '%', '\%'), '_', '\_') || '%';
begin
  perform private.require_admin(p_actor, 'viewer');
  return jsonb_build_object(
    'count', (
      select count(*) from public.users u
       where v_pattern is null or u.email like v_pattern or lower(u.name) like v_pattern
    ),
    'users', (
      select coalesce(jsonb_agg(private.user_json(page) order by page.created_at desc, page.id desc), '[]')
        from (
          select u.* from public.users u
           where (v_pattern is null or u.email like v_pattern or lower(u.name) like v_pattern)
             and (p_after_id is null or (u.created_at, u.id) < (p_after_at::timestamptz, p_after_id))
           order by u.created_at desc, u.id desc
           limit p_limit
        ) page
    )
  );
exception
  -- The cursor comes from the caller.
  when data_exception then
    raise sqlstate 'PT400' using message = 'VALIDATION_FAILED';
end
$$;
grant execute on function public.list_users(jsonb, integer, text, text, uuid) to service_role;
comment on function public.list_users(jsonb, integer, text, text, uuid) is
  'Returns accounts with their balances, newest first: {count, users}. The query searches e-mail and name; after (time, id) to page on.';

-- The operator's command works on admins by name.
create or replace function public.manage_admin(
  p_command text, p_username text, p_password_hash text default null, p_role text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: no API role may read private.admins.
declare
  v_id uuid;
  v_changed boolean;
begin
  lock table private.admins in share row exclusive mode;
  select a.id into v_id from private.admins a where a.username = p_username;
  v_changed := case p_command when 'list' then false when 'create' then v_id is null else v_id is not null end;
  if not v_changed then
    null;
  elsif p_command = 'create' then
    insert into private.admins (username, password_hash, role)
    values (p_username, p_password_hash, coalesce(p_role, 'owner'));
  elsif p_command = 'remove' then
    delete from private.admins where id = v_id;
  else
    update private.admins
       set password_hash = coalesce(p_password_hash, password_hash), role = coalesce(p_role, role),
           version = version + 1, updated_at = now()
     where id = v_id;
    delete from private.admin_sessions where admin_id = v_id;
    if p_command = 'reset-2fa' then
      perform private.drop_second_factor(v_id);
    end if;
  end if;
  if v_changed and p_command <> 'create' then
    perform private.keep_an_owner();
  end if;
  if v_changed then
    perform private.audit(
      'system:command', null, replace(p_command, '-', '_') || '_admin', 'admin:' || p_username, null,
      case when p_role is not null then jsonb_build_object('role', p_role) end
    );
  end if;
  return jsonb_build_object(
    'changed', v_changed,
    'admins', (select coalesce(jsonb_agg(private.admin_json(a) order by a.username), '[]') from private.admins a)
  );
end
$$;
grant execute on function public.manage_admin(text, text, text, text) to service_role;
comment on function public.manage_admin(text, text, text, text) is
  'Runs the operator''s command: create, passwd, role, reset-2fa, remove or list. Returns {changed, admins}; raises LAST_OWNER.';

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
      v_available := v_balance.allocated - v_balance.used - v_balance.reserved;
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
          v_item.user_id, v_item.idempotency_key, decode(v_item.request_hash, 'hex'),
          jsonb_build_object('hold', v_item.hold)
        )
        on conflict (subject_id, key) do nothing;
        if not found then
          -- The answer was not kept, so it cannot be given again; it must not be paid for again either.
          select jsonb_build_object('code', case
                   when k.request_hash = decode(v_item.request_hash, 'hex') then 'ALREADY_ANSWERED'
                   else 'IDEMPOTENCY_MISMATCH'
                 end)
            into strict v_answer
            from private.idempotency_keys k
           where k.subject_id = v_item.user_id and k.key = v_item.idempotency_key;
        end if;
      end if;
      if v_answer is null then
        update public.balances b
           set reserved = b.reserved + v_amount, updated_at = now()
         where b.subject_id = v_item.user_id and b.allocated - b.used - b.reserved >= v_amount
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
          'output_tokens', v_output, 'remaining', v_balance.allocated - v_balance.used - v_balance.reserved
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
            v_item.output_tokens, v_balance.allocated - v_balance.used - v_balance.reserved, v_generation.output_weight
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
                 'tokens_used', private.weighted_tokens(g, g.input_tokens, g.output_tokens), 'remaining', b.allocated - b.used - b.reserved
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
             'remaining', coalesce(b.allocated - b.used - b.reserved, 0), 'debt', coalesce(b.debt, 0)
           )
      from (select 1) one left join public.balances b on b.subject_id = v_user_id
  );
end
$$;
grant execute on function public.my_balance() to authenticated;
comment on function public.my_balance() is 'Returns the caller''s balance: {allocated, used, reserved, remaining, debt}.';

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

create or replace function public.my_settings()
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user('settings');
begin
  return (
    select jsonb_build_object(
             'settings', coalesce(v.settings, '{}'), 'version', coalesce(s.version, 0),
             'last_synced_at', s.last_synced_at
           )
      from (select 1) one
      left join public.settings s on s.user_id = v_user_id
      left join public.settings_versions v on v.user_id = s.user_id and v.version = s.version
  );
end
$$;
grant execute on function public.my_settings() to authenticated;
comment on function public.my_settings() is 'Returns the caller''s settings: {settings, version, last_synced_at}.';

create or replace function public.my_settings_changes(p_since bigint)
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user('settings');
  v_settings public.settings;
  v_full boolean;
begin
  select s.* into v_settings from public.settings s where s.user_id = v_user_id;
  -- Also for a version there never was: a device may remember more than a database that was restored.
  v_full := p_since = 0 or p_since < coalesce(v_settings.pruned_version, 0) or p_since > coalesce(v_settings.version, 0);
  return jsonb_build_object(
    'version', coalesce(v_settings.version, 0), 'last_synced_at', v_settings.last_synced_at, 'full', v_full,
    'changes', (
      select coalesce(jsonb_object_agg(
               e.name,
               jsonb_build_object('updated_at', e.updated_at, 'device', nullif(e.device, ''), 'version', e.version)
                 || case when e.deleted then '{"deleted": true}' else jsonb_build_object('value', e.value) end
             ), '{}')
        from public.settings_entries e
       where e.user_id = v_user_id and (v_full or e.version > p_since)
    )
  );
end
$$;
grant execute on function public.my_settings_changes(bigint) to authenticated;
comment on function public.my_settings_changes(bigint) is
  'Returns what changed in the caller''s settings after a version, deletions included: {version, last_synced_at, full, changes}; full where that is everything there is.';

create or replace function public.my_settings_history()
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user('settings');
begin
  return (
    select jsonb_build_object('versions', coalesce(
             jsonb_agg(
               jsonb_build_object(
                 'version', v.version, 'settings', v.settings, 'action', v.action, 'device', nullif(v.device, ''),
                 'created_at', v.created_at
               )
               order by v.version desc
             ), '[]'))
      from public.settings_versions v where v.user_id = v_user_id
  );
end
$$;
grant execute on function public.my_settings_history() to authenticated;
comment on function public.my_settings_history() is
  'Returns the last 20 versions of the caller''s settings, newest first: {versions: [{version, settings, action, device, created_at}]}.';

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

-- The usage queries run with their caller's rights: for a person row-level security decides, and for an admin list_all_usage
-- and summarize_all_usage ask for everybody.
create or replace function public.own_subjects()
returns uuid[]
language sql stable set search_path = ''
as $$
  select array_agg(subject_id)
    from (
      select public.require_current_user('usage:read') as subject_id
      union all
      select d.id from public.devices d where d.user_id = (select public.current_user_id())
    ) own
$$;
grant execute on function public.own_subjects() to authenticated;
comment on function public.own_subjects() is
  'Returns the caller and their devices: whose rows to look for. Row-level security still decides which of them are seen.';

create or replace function public.prove_session(p_caller jsonb, p_verified_hash text default null, p_code_hash text default null)
returns boolean
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: reads credentials and codes and writes sessions, which no API role may.
declare
  v_user_id uuid := private.lock_user(p_caller);
  v_session_id uuid := (p_caller ->> 'session_id')::uuid;
begin
  if v_session_id is null then
    raise sqlstate 'PT400' using message = 'NO_SESSION';
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
  return true;
end
$$;
grant execute on function public.prove_session(jsonb, text, text) to service_role;
comment on function public.prove_session(jsonb, text, text) is
  'Marks the calling session as proved now, after its owner''s password was verified or with a mailed code (HMAC, hex), which is used up. Raises NO_SESSION, INVALID_CREDENTIALS.';

create or replace function public.push_settings(
  p_caller jsonb, p_base_version bigint, p_changes jsonb, p_device text default ''
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes settings, which no API role may.
declare
  v_user_id uuid := private.lock_user(p_caller, 'settings');
  v_won jsonb;
  v_overruled jsonb;
begin
  with state as (
    select coalesce(max(s.pruned_version), 0) as pruned_version, coalesce(max(s.pruned_at), 0) as pruned_at
      from public.settings s where s.user_id = v_user_id
  ),
  -- Where a deletion may have been forgotten, an old change of a device that has not heard of it brings nothing back.
  judged as materialized (
    select c.*, e.name is null as is_new, e.value as standing_value,
           coalesce(e.updated_at, s.pruned_at) as standing_at,
           coalesce(e.version, s.pruned_version) as standing_version, e.device as standing_device,
           case
             when e.name is null then c.updated_at > s.pruned_at or p_base_version >= s.pruned_version
             else (c.updated_at, p_device collate "C", c.claimed_at, coalesce(c.value::text, '') collate "C")
               > (e.updated_at, e.device, e.claimed_at, coalesce(e.value::text, '') collate "C")
           end as wins
      from private.resolve_timestamps(v_user_id, p_device, p_changes) c
     cross join state s
      left join public.settings_entries e on e.user_id = v_user_id and e.name = c.name
  )
  select jsonb_agg(jsonb_build_object(
           'name', j.name, 'value', j.value, 'deleted', j.value is null,
           'updated_at', j.updated_at, 'claimed_at', j.claimed_at
         )) filter (where j.wins),
         jsonb_object_agg(
           j.name,
           jsonb_build_object('updated_at', j.standing_at, 'device', nullif(j.standing_device, ''), 'version', j.standing_version)
             || case when j.standing_value is null then '{"deleted": true}'
                  else jsonb_build_object('value', j.standing_value) end
         ) filter (where not j.wins and j.value is distinct from j.standing_value)
    into v_won, v_overruled
    from judged j;
  if v_won is not null then
    perform private.write_settings(v_user_id, 'push', p_device, v_won);
  end if;
  return private.settings_json(v_user_id) || jsonb_build_object('overruled', coalesce(v_overruled, '{}'));
end
$$;
grant execute on function public.push_settings(jsonb, bigint, jsonb, text) to service_role;
comment on function public.push_settings(jsonb, bigint, jsonb, text) is
  'Merges changes {name: {value | deleted, updated_at}} into the caller''s settings; of two of a name the newest wins, then the greater device. Returns {settings, version, last_synced_at, overruled}, overruled with the changes that stand instead; raises SETTINGS_TOO_LARGE.';

create or replace function public.put_settings(
  p_caller jsonb, p_settings jsonb, p_versions bigint[] default null, p_device text default ''
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes settings, which no API role may.
declare
  v_user_id uuid := private.lock_user(p_caller, 'settings');
begin
  -- Returned, not raised: the document must not get into the database's log.
  if p_versions is not null and not (
    coalesce((select s.version from public.settings s where s.user_id = v_user_id), 0) = any (p_versions)
  ) then
    return private.settings_json(v_user_id) || '{"stale": true}';
  end if;
  perform private.overwrite_settings(v_user_id, 'put', p_device, p_settings);
  return private.settings_json(v_user_id) || '{"stale": false}';
end
$$;
grant execute on function public.put_settings(jsonb, jsonb, bigint[], text) to service_role;
comment on function public.put_settings(jsonb, jsonb, bigint[], text) is
  'Replaces the caller''s settings where they are at one of the versions, or at any. Returns {settings, version, last_synced_at, stale}, stale with the document that stands; raises SETTINGS_TOO_LARGE.';

create or replace function public.record_failed_admin_login(p_username text, p_session jsonb)
returns boolean
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes the audit log, which no API role may.
begin
  -- A name nobody has is not written down: people type their password there.
  perform private.audit(
    'system:login', p_session ->> 'request_id', 'fail_sign_in',
    (select 'admin:' || a.username from private.admins a where a.username = p_username), null, null, p_session ->> 'address'
  );
  return true;
end
$$;
grant execute on function public.record_failed_admin_login(text, jsonb) to service_role;
comment on function public.record_failed_admin_login(text, jsonb) is
  'Records a log-in with a wrong name or password, with its {request_id, address}; the limits bound how many there are.';

create or replace function public.record_features(p_items jsonb, p_retention_months integer)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: the only writer of feature events and their rollups.
declare
  v_answers jsonb;
begin
  perform private.hold_users(p_items);
  with item as materialized (
    select r.ord, r.id as user_id, r.name, r.properties, gen_random_uuid() as event_id,
           coalesce(timestamptz 'epoch' + r.timestamp_ms * interval '1 millisecond', now()) as occurred_at,
           private.credential_problem(r.id, r.session_id, r.api_key_id, 'usage:write') as problem
      from rows from (
        jsonb_to_recordset(p_items) as (
          id uuid, session_id uuid, api_key_id uuid, name text, properties jsonb, timestamp_ms bigint
        )
      ) with ordinality as r(id, session_id, api_key_id, name, properties, timestamp_ms, ord)
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
    insert into public.feature_events (id, user_id, name, properties, occurred_at)
    select j.event_id, j.user_id, j.name, j.properties, j.occurred_at from judged j where j.code is null
  ),
  counted as (
    insert into public.feature_rollups as r (user_id, bucket, name, events)
    select j.user_id, date_bin('15 minutes', j.occurred_at, 'epoch'), j.name, count(*)
      from judged j where j.code is null
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
  'Records uses of features. Takes an array of {id, session_id | api_key_id, name, properties, timestamp_ms}, returns an array in the same order: {id, recorded}, or {code}.';

create or replace function public.record_usage(p_items jsonb, p_retention_months integer)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: the only writer of observed events and their rollups; no API role may write them itself.
declare
  v_horizon timestamptz := private.usage_horizon(p_retention_months);
  v_now_ms bigint := floor(extract(epoch from now()) * 1000);
  v_item record;
  v_code text;
  v_earlier jsonb;
  v_hash bytea;
  v_position integer;
  v_answers jsonb[] := array_fill(null::jsonb, array[jsonb_array_length(p_items)]);
  v_ids uuid[] := array_fill(null::uuid, array[jsonb_array_length(p_items)]);
  v_events public.usage_events[] := '{}';
  v_event public.usage_events;
  -- Too old to be kept as events: only counted.
  v_counted public.usage_events[] := '{}';
  v_answer jsonb;
  v_stored private.idempotency_keys[] := '{}';
  v_keys text[] := '{}';
  v_new_keys integer;
  v_inserted uuid[] := '{}';
begin
  if exists (
    select from jsonb_to_recordset(p_items) as i (timestamp_ms bigint)
     where timestamptz 'epoch' + i.timestamp_ms * interval '1 millisecond' < v_horizon
  ) then
    -- No month is dropped meanwhile, so that none is brought back. What is not dropped yet still takes events, as the
    -- rollups of a month are proved from them as long as it is there.
    perform pg_advisory_xact_lock_shared(hashtext('public.maintain'));
    select least(private.usage_horizon(p_retention_months), min(p.lower_bound)) into v_horizon
      from private.usage_partitions() p;
  end if;
  perform private.hold_users(p_items);
  for v_item in
    select i.*, c.problem, b.period, k.request_hash as earlier_hash, k.answer as earlier_answer,
           private.usage_event_id(
             i.user_id, i.at_ms,
             case when i.key is null then i.content else jsonb_build_array('key', i.key) end
           ) as event_id
      from (
        select q.*, timestamptz 'epoch' + q.at_ms * interval '1 millisecond' as occurred_at,
               sha256(convert_to(q.content::text, 'UTF8')) as hash,
               coalesce(q.key, 'content ' || encode(sha256(convert_to(q.content::text, 'UTF8')), 'hex')) as known_as
          from (
            select p.*,
                   -- The clock of whoever sent it is ahead by hours: it happened now.
                   case when p.timestamp_ms between v_now_ms + 300001 and v_now_ms + 86400000
                     then v_now_ms else p.timestamp_ms
                   end as at_ms,
                   jsonb_build_array(
                     p.provider, p.model, p.timestamp_ms, p.input_tokens, p.output_tokens, p.url
                   ) as content
              from (
                select r.ord::integer as ord, r.id as user_id, r.session_id, r.api_key_id, r.provider,
                       lower(btrim(r.model)) as model, r.input_tokens, r.output_tokens, r.total_tokens,
                       r.timestamp_ms, private.plain_url(r.url) as url, r.key
                  from rows from (
                    jsonb_to_recordset(p_items) as (
                      id uuid, session_id uuid, api_key_id uuid, provider text, model text, input_tokens bigint,
                      output_tokens bigint, total_tokens bigint, timestamp_ms bigint, url text, key text
                    )
                  ) with ordinality as r(
                    id, session_id, api_key_id, provider, model, input_tokens, output_tokens, total_tokens,
                    timestamp_ms, url, key, ord
                  )
              ) p
          ) q
      ) i
      left join lateral (
        select private.credential_problem(i.user_id, i.session_id, i.api_key_id, 'usage:write') as problem
      ) c on true
      left join public.balances b on b.subject_id = i.user_id
      left join private.idempotency_keys k on k.subject_id = i.user_id and k.key = i.known_as
     order by i.ord
  loop
    v_hash := v_item.hash;
    v_position := array_position(v_keys, v_item.user_id || v_item.known_as);
    v_earlier := case
      when v_item.earlier_hash is not null then v_item.earlier_answer
      when v_position is not null then v_stored[v_position].answer
    end;
    v_code := case
      when v_item.problem is not null then v_item.problem
      when v_item.total_tokens <> v_item.input_tokens + v_item.output_tokens then 'TOTAL_MISMATCH'
      when v_earlier is not null and coalesce(v_item.earlier_hash, v_stored[v_position].request_hash) <> v_hash
        then 'IDEMPOTENCY_MISMATCH'
      when v_earlier is not null then null
      when v_item.at_ms > v_now_ms + 300000 then 'TIMESTAMP_OUT_OF_RANGE'
    end;
    if v_code is not null then
      v_answers[v_item.ord] := jsonb_build_object('code', v_code);
    elsif v_earlier is not null then
      v_answers[v_item.ord] := v_earlier || '{"recorded": true, "duplicate": true}';
    else
      v_event := row(
        v_item.event_id, v_item.user_id, v_item.user_id, null, 'extension', v_item.provider, v_item.model, 1,
        v_item.input_tokens, v_item.output_tokens, v_item.input_tokens + v_item.output_tokens, 0,
        'client_reported', v_item.period, v_item.url, v_item.occurred_at, now(), null
      )::public.usage_events;
      v_answer := jsonb_build_object('id', v_item.event_id)
        || case when v_item.at_ms < v_item.timestamp_ms then '{"adjusted": ["timestamp"]}' else '{}' end::jsonb
        || case when v_item.occurred_at < v_horizon then '{"summary_only": true}' else '{}' end::jsonb;
      if v_item.occurred_at < v_horizon then
        v_counted := v_counted || v_event;
      else
        v_events := v_events || v_event;
      end if;
      if v_answer = jsonb_build_object('id', v_item.event_id) then
        v_ids[v_item.ord] := v_item.event_id;
      else
        v_answers[v_item.ord] := v_answer || '{"recorded": true, "duplicate": false}';
      end if;
      -- What has a row of its own under its own time is told from others by that, all else by what is remembered here.
      if v_item.key is not null or v_ids[v_item.ord] is null then
        v_stored := v_stored || row(
          v_item.user_id, v_item.known_as, v_hash, v_answer, now()
        )::private.idempotency_keys;
        v_keys := v_keys || (v_item.user_id || v_item.known_as);
      end if;
    end if;
  end loop;

  if cardinality(v_stored) > 0 then
    with stored as (
      insert into private.idempotency_keys select s.* from unnest(v_stored) s order by s.subject_id, s.key
      on conflict do nothing returning 1
    )
    select count(*) into v_new_keys from stored;
    -- Somebody used one of the keys meanwhile: the whole call is made again and then sees it.
    if v_new_keys < cardinality(v_stored) then
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

create or replace function public.refresh_model_weights(p_weights jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: no API role may write model_weights.
declare
  v_removed integer;
  v_changed integer;
begin
  delete from public.model_weights w
   where w.source = 'upstream'
     and not exists (select from jsonb_to_recordset(p_weights) as given(model text) where lower(given.model) = w.model);
  get diagnostics v_removed = row_count;
  -- In order, as other servers may do the same.
  insert into public.model_weights as w (model, input_weight, output_weight, source)
  select distinct on (1) lower(given.model), given.input_weight, given.output_weight, 'upstream'
    from jsonb_to_recordset(p_weights) as given(model text, input_weight numeric, output_weight numeric)
   order by 1
  on conflict (model) do update
    set input_weight = excluded.input_weight, output_weight = excluded.output_weight, updated_at = now()
   where w.source = 'upstream'
     and (w.input_weight, w.output_weight) is distinct from (excluded.input_weight, excluded.output_weight);
  get diagnostics v_changed = row_count;
  return jsonb_build_object('changed', v_changed, 'removed', v_removed);
end
$$;
grant execute on function public.refresh_model_weights(jsonb) to service_role;
comment on function public.refresh_model_weights(jsonb) is
  'Replaces the weights that come from upstream by those given as [{model, input_weight, output_weight}]; the operator''s stay. Returns {changed, removed}.';

create or replace function public.refresh_session(p_token_hash text, p_successor_hash text, p_lifetime_seconds integer)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: no API role may read sessions and their tokens. Returns an outcome instead of raising, as a stolen
-- token's session must stay ended.
declare
  v_hash bytea := decode(p_token_hash, 'hex');
  v_successor_hash bytea := decode(p_successor_hash, 'hex');
  v_expires_at timestamptz := now() + make_interval(secs => p_lifetime_seconds);
  v_session private.sessions;
  v_token private.refresh_tokens;
begin
  -- The session's row serialises all that happens to its tokens; what they are is read after the wait for it.
  select s.* into v_session
    from private.sessions s
   where s.id = (select t.session_id from private.refresh_tokens t where t.token_hash = v_hash)
     for update;
  select t.* into v_token from private.refresh_tokens t where t.token_hash = v_hash;
  if v_session.id is null or v_token.token_hash is null or v_session.expires_at <= now() or v_token.expires_at <= now() then
    return jsonb_build_object('outcome', 'unknown');
  end if;

  -- While nobody has used its successor, nobody is known to have it: the answer was lost, or several requests of one
  -- client carry the same token. Afterwards one of two holders is a thief.
  if v_token.used_at is not null and not exists (
    select from private.refresh_tokens t where t.token_hash = v_token.successor_hash and t.used_at is null
  ) then
    delete from private.sessions where id = v_session.id;
    perform private.audit('system:sessions', null, 'refresh_token_reused', 'user:' || v_session.user_id, null, null);
    return jsonb_build_object('outcome', 'reused');
  end if;

  if exists (select from public.users u where u.id = v_session.user_id and u.suspended_at is not null) then
    raise sqlstate 'PT403' using message = 'ACCOUNT_SUSPENDED';
  end if;

  -- Under another secret the successor is another one, and takes the place of the first: there is one lineage.
  delete from private.refresh_tokens where token_hash = v_token.successor_hash and token_hash <> v_successor_hash;
  update private.refresh_tokens set used_at = now(), successor_hash = v_successor_hash where token_hash = v_hash;
  insert into private.refresh_tokens (token_hash, session_id, expires_at)
  values (v_successor_hash, v_session.id, v_expires_at)
  on conflict (token_hash) do update set expires_at = excluded.expires_at;
  update private.sessions set last_used_at = now(), expires_at = v_expires_at where id = v_session.id;
  return jsonb_build_object('outcome', 'refreshed') || private.session_json(v_session.id);
end
$$;
grant execute on function public.refresh_session(text, text, integer) to service_role;
comment on function public.refresh_session(text, text, integer) is
  'Exchanges a refresh token for its successor (both as SHA-256 in hex), also again while that was never used. Returns {outcome: refreshed, session_id, user}, unknown, or reused: then the session has been ended. Raises ACCOUNT_SUSPENDED.';

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
    'remaining', v_balance.allocated - v_balance.used - v_balance.reserved
  ) || case when v_user_id is null then '{}'::jsonb else '{"linked": true}' end;
end
$$;
grant execute on function public.register_device(text, text, bigint, jsonb, text, jsonb) to service_role;
comment on function public.register_device(text, text, bigint, jsonb, text, jsonb) is
  'Registers a device or finds it again by its owner and fingerprint, and links it to the caller. Takes the secret''s SHA-256 in hex, and {id, version} of a verified token of the device. Returns {device_id, token_version, created, allocated, remaining}, with a caller also linked; raises DEVICE_BLOCKED, DEVICE_SECRET_INVALID, and DEVICE_LIMIT where the caller''s tier has no room for another.';

create or replace function public.register_user(
  p_email text, p_password_hash text, p_default_tokens bigint, p_sign_up text, p_session jsonb,
  p_name text default null, p_invitation_hash text default null, p_verification_hash text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes users, credentials, balances and sessions, which no API role may.
declare
  v_user public.users;
  v_mails_link boolean := false;
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
  if v_user.email_verified_at is null and p_verification_hash is not null then
    v_mails_link := private.mail_wait('mail:link', p_email) is null;
  end if;
  if v_mails_link then
    perform private.keep_verification(p_email, v_user.id, p_verification_hash);
  end if;
  return private.open_session(v_user.id, p_session - 'network') || jsonb_build_object('mails_link', v_mails_link);
end
$$;
grant execute on function public.register_user(text, text, bigint, text, jsonb, text, text, text) to service_role;
comment on function public.register_user(text, text, bigint, text, jsonb, text, text, text) is
  'Creates an account with a password where p_sign_up (open, verified, invite, closed) or an invitation lets it, and logs it in; its default tokens come at once where sign-up is open, else with the proof of the address. Returns {session_id, user, mails_link}: whether the link is to be mailed, at most 3 in 15 minutes to one address; raises SIGNUP_CLOSED, INVITATION_REQUIRED, INVITATION_INVALID, EMAIL_TAKEN.';

create or replace function public.remove_second_factor(p_actor jsonb, p_proof jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes second factors, which no API role may. Returns an outcome, as what was counted must stay.
declare
  v_actor text := private.require_admin(p_actor, null);
  v_proved jsonb := private.prove_second_factor((p_actor ->> 'id')::uuid, p_proof);
begin
  if v_proved ->> 'outcome' = 'proved' then
    perform private.drop_second_factor((p_actor ->> 'id')::uuid);
    update private.admin_sessions set second_factor = false where admin_id = (p_actor ->> 'id')::uuid;
    perform private.audit_admin(p_actor, 'remove_second_factor', v_actor);
  end if;
  return v_proved;
end
$$;
grant execute on function public.remove_second_factor(jsonb, jsonb) to service_role;
comment on function public.remove_second_factor(jsonb, jsonb) is
  'Turns the calling admin''s second factor off, against one more code of it; returns what prove_second_factor says.';

create or replace function public.request_email_verification(p_email text, p_token_hash text)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes links and counters, which no API role may.
declare
  v_user_id uuid;
begin
  -- Past the limit the link mailed before stays good: a stranger who keeps asking cannot take it from its owner.
  if private.mail_wait('mail:verification', p_email) is not null then
    return jsonb_build_object('mail_to', null);
  end if;
  -- The account before its link, as where the account is deleted.
  select u.id into v_user_id from public.users u where u.email = p_email and u.email_verified_at is null for key share;
  perform private.keep_verification(p_email, v_user_id, p_token_hash);
  return jsonb_build_object('mail_to', case when v_user_id is not null then p_email end);
end
$$;
grant execute on function public.request_email_verification(text, text) to service_role;
comment on function public.request_email_verification(text, text) is
  'Makes this token (SHA-256, hex) the address''s only one for 24 hours; at most 3 in 15 minutes. Returns {mail_to}: the address, or null for no mail.';

create or replace function public.request_password_reset(p_email text, p_token_hash text)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes private.password_resets and counters, which no API role may.
declare
  v_user_id uuid;
begin
  -- Past the limit the link mailed before stays good: a stranger who keeps asking cannot take it from its owner.
  if private.mail_wait('mail:reset', p_email) is not null then
    return jsonb_build_object('mail_to', null);
  end if;
  -- The account before its link, as where the account is deleted.
  select u.id into v_user_id from public.users u where u.email = p_email for key share;
  insert into private.password_resets as r (email, user_id, token_hash, requested_at, expires_at)
  values (p_email, v_user_id, decode(p_token_hash, 'hex'), now(), now() + interval '30 minutes')
  on conflict (email) do update
    set user_id = excluded.user_id, token_hash = excluded.token_hash,
        requested_at = excluded.requested_at, expires_at = excluded.expires_at;
  return jsonb_build_object('mail_to', case when v_user_id is not null then p_email end);
end
$$;
grant execute on function public.request_password_reset(text, text) to service_role;
comment on function public.request_password_reset(text, text) is
  'Makes this token (SHA-256, hex) the address''s only one for 30 minutes; at most 3 in 15 minutes. Returns {mail_to}: the address, or null for no mail.';

create or replace function public.request_proof_code(p_caller jsonb, p_code_hash text)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes codes and counters, which no API role may. Returns a refusal instead of raising it, so that it is counted.
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
  return jsonb_build_object('allowed', true, 'mail_to', (select u.email from public.users u where u.id = v_user_id));
end
$$;
grant execute on function public.request_proof_code(jsonb, text) to service_role;
comment on function public.request_proof_code(jsonb, text) is
  'Makes this code (HMAC, hex) the one that proves the calling session for 5 minutes; at most 3 in 15 minutes. Returns {allowed, mail_to} or {allowed, retry_after}; raises NO_SESSION.';

create or replace function public.require_current_user(p_scope text default 'account')
returns uuid
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: no API role may read sessions and keys.
declare
  v_claims jsonb := auth.jwt();
  v_user_id uuid := (v_claims ->> 'sub')::uuid;
begin
  perform private.refuse_credential(
    private.credential_problem(v_user_id, (v_claims ->> 'sid')::uuid, (v_claims ->> 'key_id')::uuid, p_scope), p_scope
  );
  return v_user_id;
end
$$;
grant execute on function public.require_current_user(text) to authenticated;
comment on function public.require_current_user(text) is
  'Returns the account the request''s token is about; raises what require_user does. Policies ask current_user_id, which raises nothing.';

create or replace function public.require_device_reader(p_device_id uuid)
returns void
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: a device that is blocked is told so, and may see no row that says it.
declare
  v_device public.devices;
begin
  select * into v_device from public.devices d where d.id = p_device_id;
  if not auth.jwt() ? 'device_id' then
    if v_device.user_id is distinct from public.require_current_user('usage:read') or v_device.deleted_at is not null then
      raise sqlstate 'PT404' using message = 'DEVICE_NOT_FOUND';
    end if;
  elsif p_device_id is distinct from (auth.jwt() ->> 'device_id')::uuid then
    raise sqlstate 'PT404' using message = 'DEVICE_NOT_FOUND';
  elsif v_device.deleted_at is not null
     or v_device.token_version is distinct from (auth.jwt() ->> 'device_version')::integer then
    raise sqlstate 'PT401' using message = 'INVALID_TOKEN';
  elsif v_device.blocked then
    raise sqlstate 'PT403' using message = 'DEVICE_BLOCKED';
  end if;
end
$$;
grant execute on function public.require_device_reader(uuid) to authenticated;
comment on function public.require_device_reader(uuid) is
  'Lets pass the device itself and the account it is linked to; raises DEVICE_NOT_FOUND, INVALID_TOKEN or DEVICE_BLOCKED.';

create or replace function public.reset_password(
  p_token_hash text, p_password_hash text, p_default_tokens bigint, p_revoke_keys boolean default false
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: reads and writes credentials, which no API role may.
declare
  v_hash bytea := decode(p_token_hash, 'hex');
  v_user_id uuid;
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
  return jsonb_build_object(
    'api_keys', private.keys_after_password(v_user_id, p_revoke_keys),
    'email', (select u.email from public.users u where u.id = v_user_id)
  );
end
$$;
grant execute on function public.reset_password(text, text, bigint, boolean) to service_role;
comment on function public.reset_password(text, text, bigint, boolean) is
  'Uses up the token (SHA-256, hex): proves the address, which pays the default tokens where they were not, sets the password (argon2id hash) and ends every session and, where wished, the API keys. Returns {api_keys, email}: those that go on, and whose they are; raises INVALID_RESET_TOKEN for one that is unknown, used, expired or not the newest.';

create or replace function public.restore_settings(p_caller jsonb, p_version bigint, p_device text default '')
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes settings, which no API role may.
declare
  v_user_id uuid := private.lock_user(p_caller, 'settings');
  v_settings jsonb;
begin
  select v.settings into v_settings
    from public.settings_versions v where v.user_id = v_user_id and v.version = p_version;
  if not found then
    raise sqlstate 'PT404' using message = 'SETTINGS_VERSION_NOT_FOUND';
  end if;
  perform private.overwrite_settings(v_user_id, 'restore', p_device, v_settings);
  return private.settings_json(v_user_id);
end
$$;
grant execute on function public.restore_settings(jsonb, bigint, text) to service_role;
comment on function public.restore_settings(jsonb, bigint, text) is
  'Makes one of the last 20 versions of the caller''s settings the next one. Returns {settings, version, last_synced_at}; raises SETTINGS_VERSION_NOT_FOUND.';

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

-- A tier that is given is in force like one that is paid, until it is changed; it grants no tokens.
create or replace function public.set_account_plan(p_actor jsonb, p_user_id uuid, p_tier text)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes subscriptions, which no API role may.
declare
  v_target text;
  v_before jsonb;
  v_is_free constant boolean := p_tier = 'free';
begin
  perform private.require_admin(p_actor);
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
  perform private.audit_admin(
    p_actor, 'set_plan', v_target, jsonb_build_object('tier', v_before -> 'tier'), jsonb_build_object('tier', p_tier)
  );
  return private.account_json(p_user_id);
end
$$;
grant execute on function public.set_account_plan(jsonb, uuid, text) to service_role;
comment on function public.set_account_plan(jsonb, uuid, text) is
  'Gives an account a tier without payment, or takes it back with free. Returns the account; raises USER_NOT_FOUND, and SUBSCRIPTION_RUNNING for one that subscribed at Stripe.';

create or replace function public.set_budget(p_actor jsonb, p_kind text, p_total bigint default null)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes the pools, which no API role may.
declare
  v_actor text := private.require_admin(p_actor);
  v_before bigint;
begin
  select total into strict v_before from public.budgets where subject_kind = p_kind for update;
  update public.budgets set total = p_total, updated_at = now() where subject_kind = p_kind;
  perform private.audit_admin(
    p_actor, 'set_budget', p_kind,
    jsonb_build_object('total', v_before), jsonb_build_object('total', p_total)
  );
  return private.budget_json(p_kind);
end
$$;
grant execute on function public.set_budget(jsonb, text, bigint) to service_role;
comment on function public.set_budget(jsonb, text, bigint) is
  'Sets the size of a pool, null for unlimited. One smaller than what is allocated only stops further allocations.';

create or replace function public.set_model_costs(p_actor jsonb, p_costs jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: no API role may read model_costs.
declare
  v_actor text := private.require_admin(p_actor);
  v_before jsonb := public.list_model_costs(p_actor);
begin
  -- The price of all other models can be changed, never removed.
  delete from public.model_costs c
   using jsonb_to_recordset(p_costs) as given(model text, cost integer)
   where c.model = lower(btrim(given.model)) and given.cost is null and c.model <> '*';
  insert into public.model_costs (model, cost)
  select distinct on (1) lower(btrim(given.model)), given.cost
    from rows from (jsonb_to_recordset(p_costs) as (model text, cost integer)) with ordinality as given(model, cost, ord)
   where given.cost is not null
   order by 1, given.ord desc
  on conflict (model) do update set cost = excluded.cost, updated_at = now()
   where public.model_costs.cost <> excluded.cost;
  perform private.audit_admin(
    p_actor, 'set_model_costs', null, v_before, public.list_model_costs(p_actor)
  );
  return public.list_model_costs(p_actor);
end
$$;
grant execute on function public.set_model_costs(jsonb, jsonb) to service_role;
comment on function public.set_model_costs(jsonb, jsonb) is
  'Sets the prices given as [{model, cost}], removes those whose cost is null, leaves the others. Returns all prices.';

create or replace function public.set_model_weights(p_actor jsonb, p_weights jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: no API role may write model_weights.
declare
  v_before jsonb := public.list_model_weights(p_actor);
begin
  perform private.require_admin(p_actor);
  delete from public.model_weights w
   using jsonb_to_recordset(p_weights) as given(model text, input_weight numeric)
   where w.model = lower(btrim(given.model)) and given.input_weight is null;
  insert into public.model_weights (model, input_weight, output_weight, comment)
  select distinct on (1) lower(btrim(given.model)), given.input_weight,
         coalesce(given.output_weight, given.input_weight), given.comment
    from rows from (
      jsonb_to_recordset(p_weights) as (model text, input_weight numeric, output_weight numeric, comment text)
    ) with ordinality as given(model, input_weight, output_weight, comment, ord)
   where given.input_weight is not null
   order by 1, given.ord desc
  on conflict (model) do update
    set input_weight = excluded.input_weight, output_weight = excluded.output_weight, source = 'operator',
        comment = excluded.comment, updated_at = now();
  perform private.audit_admin(p_actor, 'set_model_weights', null, v_before, public.list_model_weights(p_actor));
  return public.list_model_weights(p_actor);
end
$$;
grant execute on function public.set_model_weights(jsonb, jsonb) to service_role;
comment on function public.set_model_weights(jsonb, jsonb) is
  'Sets the weights given as [{model, input_weight, output_weight, comment}], where the output weighs as the input unless it is given; removes those whose input_weight is null, leaves the others. Returns all weights.';

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
  'Opens a session for a provider''s identity {provider, subject, email, name, picture}. Returns {session_id, user}; raises INVALID_CREDENTIALS, and SIGNUP_CLOSED or INVITATION_REQUIRED for somebody new.';

create or replace function public.summarize_all_usage(
  p_actor jsonb, p_from text, p_to text, p_time_zone text, p_group_by text[], p_user_id uuid default null
)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: an admin may ask about everybody, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  return public.summarize_usage(p_from, p_to, p_time_zone, p_group_by, private.account_subjects(p_user_id));
end
$$;
grant execute on function public.summarize_all_usage(jsonb, text, text, text, text[], uuid) to service_role;
comment on function public.summarize_all_usage(jsonb, text, text, text, text[], uuid) is
  'Runs summarize_usage for an admin: of everybody, or of one account with its devices.';

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
      )
    ) from cells c
  );
end
$$;
grant execute on function public.summarize_features(text, text, text, boolean, text) to authenticated;
comment on function public.summarize_features(text, text, text, boolean, text) is
  'Returns how often the caller used each feature in a range, also per day: {from, to, time_zone, totals, series}. Raises RANGE_NOT_VALID.';

create or replace function public.summarize_usage(
  p_from text, p_to text, p_time_zone text, p_group_by text[], p_subjects uuid[] default public.own_subjects()
)
returns jsonb
language plpgsql stable set search_path = '' set timezone = 'UTC' set plan_cache_mode = 'force_custom_plan'
  -- The planner takes every quarter hour for a group of its own and would sort them all on disk.
  set work_mem = '32MB'
as $$
declare
  v_range record;
  v_unit text := (select g from unnest(p_group_by) g where g in ('day', 'week', 'month') limit 1);
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

  with sums as materialized (
    -- The rollups are read once, by the key they are kept under.
    select width_bucket(r.bucket, v_starts) as period,
           case when 'provider' = any (p_group_by) then r.provider end as provider,
           case when 'model' = any (p_group_by) then r.model end as model,
           case when 'source' = any (p_group_by) then r.source end as source,
           case when p_group_by && '{device,user}' then r.subject_id end as subject_id,
           sum(r.events) as events, sum(r.prompts) as prompts, sum(r.input_tokens) as input_tokens,
           sum(r.output_tokens) as output_tokens, sum(r.total_tokens) as total_tokens, sum(r.cost) as cost,
           sum(r.nano_usd) as nano_usd
      from public.usage_rollups r
     where (p_subjects is null or r.subject_id = any (p_subjects))
       and r.bucket >= v_range.range_from and r.bucket < v_range.range_to
     group by 1, 2, 3, 4, 5
  ),
  named as materialized (
    select coalesce(s.period, 0) as period,
           jsonb_build_array(
             s.provider, s.model, s.source,
             case when 'device' = any (p_group_by) then d.id end,
             case when 'user' = any (p_group_by) then coalesce(d.user_id, case when d.id is null then s.subject_id end) end
           ) as names,
           s.events, s.prompts, s.input_tokens, s.output_tokens, s.total_tokens, s.cost, s.nano_usd
      from sums s left join public.devices d on d.id = s.subject_id
  ),
  ranked as materialized (
    select n.names, row_number() over (order by sum(n.events) desc, n.names) as rank, count(*) over () as groups
      from named n group by n.names
  ),
  -- Where all of them would be too many rows, the rest is one group, marked by a sixth name.
  cells as materialized (
    select n.period,
           case when r.groups <= v_groups or r.rank < v_groups then n.names else jsonb_build_array(
             case when 'provider' = any (p_group_by) then 'other' end,
             case when 'model' = any (p_group_by) then 'other' end,
             case when 'source' = any (p_group_by) then 'other' end, null, null, true
           ) end as names,
           sum(n.events) as events, sum(n.prompts) as prompts, sum(n.input_tokens) as input_tokens,
           sum(n.output_tokens) as output_tokens, sum(n.total_tokens) as total_tokens, sum(n.cost) as cost,
           sum(n.nano_usd) as nano_usd
      from named n join ranked r on r.names = n.names
     group by 1, 2
  ),
  periods as materialized (
    select coalesce(p.period, 0) as period, p.day
      from (select 1) one left join unnest(v_periods) with ordinality as p(day, period) on true
  ),
  groups as materialized (
    select distinct c.names from cells c
    union
    -- Without names to group by, days without use are days, too.
    select jsonb_build_array(null, null, null, null, null)
     where not p_group_by && '{provider,model,source,device,user}'
  ),
  series as (
    select case when v_unit is not null then jsonb_build_object(v_unit, p.day) else '{}' end
             || coalesce((
               select jsonb_object_agg(n.name, g.names -> (n.position::integer - 1))
                 from unnest(array['provider', 'model', 'source', 'device', 'user']) with ordinality as n(name, position)
                where n.name = any (p_group_by)
             ), '{}')
             || case when jsonb_array_length(g.names) > 5 then '{"other": true}'::jsonb else '{}' end
             || jsonb_build_object(
               'events', coalesce(c.events, 0), 'prompts', coalesce(c.prompts, 0),
               'input_tokens', coalesce(c.input_tokens, 0), 'output_tokens', coalesce(c.output_tokens, 0),
               'total_tokens', coalesce(c.total_tokens, 0), 'cost', coalesce(c.cost, 0),
               'nano_usd', coalesce(c.nano_usd, 0)
             ) as item,
           p.period, g.names
      from periods p
     cross join groups g
      left join cells c on c.period = p.period and c.names = g.names
     where cardinality(p_group_by) > 0
  )
  select jsonb_build_object(
    'from', v_range.range_from, 'to', v_range.range_to, 'time_zone', p_time_zone,
    'totals', (
      select jsonb_build_object(
        'events', coalesce(sum(c.events), 0), 'prompts', coalesce(sum(c.prompts), 0),
        'input_tokens', coalesce(sum(c.input_tokens), 0), 'output_tokens', coalesce(sum(c.output_tokens), 0),
        'total_tokens', coalesce(sum(c.total_tokens), 0), 'cost', coalesce(sum(c.cost), 0),
        'nano_usd', coalesce(sum(c.nano_usd), 0)
      ) from cells c
    ),
    'series', (select coalesce(jsonb_agg(s.item order by s.period, jsonb_array_length(s.names), s.names), '[]') from series s)
  ) into v_answer;
  return v_answer;
end
$$;
grant execute on function public.summarize_usage(text, text, text, text[], uuid[]) to authenticated;
comment on function public.summarize_usage(text, text, text, text[], uuid[]) is
  'Returns usage of the caller and their devices in a range, from the rollups: {from, to, time_zone, totals, series}, grouped by any of day, week, month (one of them), provider, model, source, device, user; periods without use are there with zeros. Of more than 10,000 rows the groups used least are one, marked by other. Raises RANGE_NOT_VALID.';

create or replace function public.suspend_account(p_actor jsonb, p_user_id uuid, p_suspended boolean)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes accounts, which no API role may.
declare
  v_target text;
begin
  perform private.require_admin(p_actor);
  v_target := private.require_account(p_user_id);
  update public.users set suspended_at = case when p_suspended then coalesce(suspended_at, now()) end
   where id = p_user_id;
  perform private.audit_admin(p_actor, case when p_suspended then 'suspend_user' else 'unsuspend_user' end, v_target);
  return private.account_json(p_user_id);
end
$$;
grant execute on function public.suspend_account(jsonb, uuid, boolean) to service_role;
comment on function public.suspend_account(jsonb, uuid, boolean) is
  'Keeps an account, its keys and its devices from everything, from the very next request on, or lets them go on. Returns the account; raises USER_NOT_FOUND.';

-- Items are taken per account in the order given, each gets an outcome of its own.
create or replace function public.track_usage(p_items jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: the only writer of the counters and the events behind them; no API role may write them itself.
declare
  v_most constant bigint := 9007199254740991;
  v_today constant date := (now() at time zone 'UTC')::date;
  v_tomorrow constant integer := ceil(extract(epoch from (v_today + 1)::timestamp at time zone 'UTC' - now()));
  v_users uuid[];
  v_item record;
  v_user uuid;
  v_prompts bigint;
  v_tokens bigint;
  v_day_prompts bigint;
  v_day_tokens bigint;
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
    select i.ord::integer as ord, i.user_id, i.usage, i.token_count, i.key, i.most_prompts, i.most_tokens,
           c.user_id is not null as known, u.suspended_at, i.version is distinct from c.version as revoked,
           c.prompts, c.tokens, b.period,
           case when c.counted_on = v_today then c.day_prompts else 0 end as day_prompts,
           case when c.counted_on = v_today then c.day_tokens else 0 end as day_tokens,
           k.request_hash as earlier_hash, k.answer as earlier_answer
      from rows from (
        jsonb_to_recordset(p_items) as (
          user_id uuid, version integer, usage integer, token_count bigint, key text, most_prompts bigint, most_tokens bigint
        )
      ) with ordinality as i(user_id, version, usage, token_count, key, most_prompts, most_tokens, ord)
      left join public.tracker_counters c on c.user_id = i.user_id
      left join public.users u on u.id = i.user_id
      left join public.balances b on b.subject_id = i.user_id
      left join private.idempotency_keys k on k.subject_id = i.user_id and k.key = i.key
     order by i.user_id, i.ord
  loop
    if v_user is distinct from v_item.user_id then
      v_user := v_item.user_id;
      v_prompts := v_item.prompts;
      v_tokens := v_item.tokens;
      v_day_prompts := v_item.day_prompts;
      v_day_tokens := v_item.day_tokens;
    end if;

    v_hash := null;
    v_answer := case
      when not v_item.known then '{"code": "USER_NOT_FOUND"}'::jsonb
      when v_item.revoked then '{"code": "TRACKER_TOKEN_INVALID"}'::jsonb
      when v_item.suspended_at is not null then '{"code": "ACCOUNT_SUSPENDED"}'::jsonb
    end;

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
    elsif v_answer is null and (
      v_item.usage > v_item.most_prompts - v_day_prompts or v_item.token_count > v_item.most_tokens - v_day_tokens
    ) then
      v_answer := jsonb_build_object('code', 'TRACKER_DAY_LIMIT', 'retry_after', v_tomorrow);
    elsif v_answer is null then
      v_prompts := v_prompts + v_item.usage;
      v_tokens := v_tokens + v_item.token_count;
      v_day_prompts := v_day_prompts + v_item.usage;
      v_day_tokens := v_day_tokens + v_item.token_count;
      v_events := v_events || row(
        gen_random_uuid(), v_user, v_user, null, 'tracker', 'unknown', 'unknown', v_item.usage,
        0, 0, v_item.token_count, 0, 'client_reported', v_item.period, null, now(), now(), null
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
     set prompts = c.prompts + tracked.prompts, tokens = c.tokens + tracked.tokens, updated_at = now(),
         day_prompts = case when c.counted_on = v_today then c.day_prompts else 0 end + tracked.prompts,
         day_tokens = case when c.counted_on = v_today then c.day_tokens else 0 end + tracked.tokens,
         counted_on = v_today
    from (
      select e.user_id, sum(e.prompt_count) as prompts, sum(e.total_tokens) as tokens
        from unnest(v_events) e group by e.user_id
    ) tracked
   where c.user_id = tracked.user_id;
  return to_jsonb(v_answers);
end
$$;
grant execute on function public.track_usage(jsonb) to service_role;
comment on function public.track_usage(jsonb) is
  'Adds to the counters of accounts in one transaction. Takes an array of {user_id, version, usage, token_count, key, most_prompts, most_tokens}, the last two what may be counted a day (UTC); returns an array of outcomes in the same order: {prompts, tokens} after the item, or {code} where it was refused.';

create or replace function public.tracker_subject(p_email text)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: reads every account, which no API role may.
declare
  v_user_id uuid;
  v_counters public.tracker_counters;
begin
  select u.id into v_user_id from public.users u where u.email = p_email;
  if v_user_id is null then
    raise sqlstate 'PT404' using message = 'USER_NOT_FOUND';
  end if;
  select c.* into v_counters from public.tracker_counters c where c.user_id = v_user_id;
  if not coalesce(v_counters.enabled, true) then
    raise sqlstate 'PT403' using message = 'TRACKER_DISABLED';
  end if;
  return jsonb_build_object('id', v_user_id, 'version', coalesce(v_counters.version, 1));
end
$$;
grant execute on function public.tracker_subject(text) to service_role;
comment on function public.tracker_subject(text) is
  'Returns the account with this address, in lower case, for whom a tracker token is made: {id, version}. Raises USER_NOT_FOUND, and TRACKER_DISABLED where the account takes none.';

create or replace function public.unlink_device(p_caller jsonb, p_device_id uuid)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes devices, which no API role may.
declare
  v_user_id uuid := private.require_user(p_caller);
begin
  -- Waits for debits under way, so that none records the person after this was answered.
  perform from public.balances b where b.subject_id = p_device_id for update;
  update public.devices set user_id = null
   where id = p_device_id and user_id = v_user_id and deleted_at is null;
  if not found then
    raise sqlstate 'PT404' using message = 'DEVICE_NOT_FOUND';
  end if;
  return jsonb_build_object('device_id', p_device_id, 'unlinked', true);
end
$$;
grant execute on function public.unlink_device(jsonb, uuid) to service_role;
comment on function public.unlink_device(jsonb, uuid) is
  'Takes a device off the caller''s account and ends its tokens; it keeps its balance, and comes back only to the caller. Returns {device_id, unlinked}; raises DEVICE_NOT_FOUND.';

create or replace function public.update_admin(
  p_actor jsonb, p_id uuid, p_role text default null, p_password_hash text default null,
  p_reset_second_factor boolean default false
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: no API role may write private.admins.
declare
  v_before private.admins;
  v_admin private.admins;
begin
  -- Of two owners who demote each other at once, the second finds itself without the right.
  lock table private.admins in share row exclusive mode;
  perform private.require_admin(p_actor, 'owner');
  -- One's own password and second factor need a proof of it: a stolen token alone must not get past them.
  if p_id = (p_actor ->> 'id')::uuid and (p_password_hash is not null or p_reset_second_factor) then
    raise sqlstate 'PT409' using message = 'OWN_CREDENTIALS';
  end if;
  select * into v_before from private.admins where id = p_id;
  if not found then
    raise sqlstate 'PT404' using message = 'ADMIN_NOT_FOUND';
  end if;
  update private.admins
     set role = coalesce(p_role, role), password_hash = coalesce(p_password_hash, password_hash),
         version = version + 1, updated_at = now()
   where id = p_id
  returning * into v_admin;
  perform private.keep_an_owner();
  -- Tokens say the role, and whoever needs a new password or second factor may not be the only one who has the old.
  delete from private.admin_sessions where admin_id = p_id;
  if p_reset_second_factor then
    perform private.drop_second_factor(p_id);
  end if;
  perform private.audit_admin(
    p_actor, 'update_admin', 'admin:' || v_admin.username, jsonb_build_object('role', v_before.role),
    jsonb_build_object(
      'role', v_admin.role, 'password_set', p_password_hash is not null, 'second_factor_reset', p_reset_second_factor
    )
  );
  return private.admin_json(v_admin);
end
$$;
grant execute on function public.update_admin(jsonb, uuid, text, text, boolean) to service_role;
comment on function public.update_admin(jsonb, uuid, text, text, boolean) is
  'Sets an admin''s role or password, or removes their second factor, for an owner, and ends their sessions. Returns them; raises ADMIN_NOT_FOUND, LAST_OWNER, and OWN_CREDENTIALS for the password or second factor of the owner who asks.';

create or replace function public.update_device(
  p_actor jsonb, p_device_id uuid, p_blocked boolean default null, p_name text default null, p_rotate boolean default false
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes devices, which no API role may.
declare
  v_actor text := private.require_admin(p_actor);
  v_before jsonb := private.lock_device(p_device_id);
  v_after jsonb;
begin
  update public.devices
     set blocked = coalesce(p_blocked, blocked),
         name = coalesce(p_name, name),
         token_version = token_version + case when p_rotate then 1 else 0 end
   where id = p_device_id;
  v_after := private.device_json(p_device_id);
  perform private.audit_admin(
    p_actor,
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
grant execute on function public.update_device(jsonb, uuid, boolean, text, boolean) to service_role;
comment on function public.update_device(jsonb, uuid, boolean, text, boolean) is
  'Blocks or unblocks, renames, or rotates the tokens of a device. Returns the device; raises DEVICE_NOT_FOUND.';

create or replace function public.update_profile(p_caller jsonb, p_changes jsonb, p_token_hash text default null)
returns jsonb
language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: writes users, which no API role may.
declare
  v_user_id uuid := private.lock_user(p_caller);
  v_user public.users;
begin
  if p_changes ? 'email' then
    perform private.request_email_change(p_caller, p_changes ->> 'email', p_token_hash);
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
grant execute on function public.update_profile(jsonb, jsonb, text) to service_role;
comment on function public.update_profile(jsonb, jsonb, text) is
  'Changes name and picture where {name, picture, email} has them, null to clear; an address waits for the link with this token (SHA-256, hex). Returns the profile; raises EMAIL_TAKEN, PROOF_REQUIRED, RATE_LIMITED, and MAIL_DISABLED for an address without a token.';

create or replace function public.verify_email(p_token_hash text, p_default_tokens bigint)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: reads links and writes users and balances, which no API role may.
declare
  v_hash bytea := decode(p_token_hash, 'hex');
  v_user_id uuid;
  v_email text;
  v_is_change boolean := false;
begin
  select link.user_id into v_user_id
    from (
      select v.user_id from private.email_verifications v where v.token_hash = v_hash
      union all
      select c.user_id from private.email_changes c where c.token_hash = v_hash
    ) link;
  -- The account before its link, as where the account is deleted.
  perform from public.users u where u.id = v_user_id for update;
  delete from private.email_verifications v
   using public.users u
   where v.token_hash = v_hash and v.expires_at > now() and u.id = v.user_id and u.email = v.email
  returning v.email into v_email;
  if not found then
    delete from private.email_changes c where c.token_hash = v_hash and c.expires_at > now() returning c.email into v_email;
    if not found then
      raise sqlstate 'PT400' using message = 'INVALID_VERIFICATION_TOKEN';
    end if;
    v_is_change := true;
    if not private.change_email(v_user_id, v_email) then
      raise sqlstate 'PT409' using message = 'EMAIL_TAKEN';
    end if;
  end if;
  -- Whoever made the account asked for this link and says so on its page: what opens the account stays.
  update public.users set email_verified_at = coalesce(email_verified_at, now()), updated_at = now() where id = v_user_id;
  perform private.grant_default_tokens(v_user_id, p_default_tokens, 'system:verification');
  return jsonb_build_object('email', v_email, 'changed', v_is_change);
end
$$;
grant execute on function public.verify_email(text, bigint) to service_role;
comment on function public.verify_email(text, bigint) is
  'Uses up the token (SHA-256, hex) of a mailed link: marks the address as proved, or changes it to the new one, and pays the default tokens where they were not. Returns {email, changed}; raises INVALID_VERIFICATION_TOKEN, EMAIL_TAKEN.';

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

create or replace function public.verify_ledger_as(p_actor jsonb)
returns jsonb
language plpgsql stable security definer set search_path = '' set statement_timeout = '15min'
as $$
-- Definer: verify_ledger reads every row.
begin
  perform private.require_admin(p_actor, 'viewer');
  return (
    select jsonb_build_object('ok', bool_and(v.ok), 'checks', jsonb_agg(to_jsonb(v))) from public.verify_ledger() v
  );
end
$$;
grant execute on function public.verify_ledger_as(jsonb) to service_role;
comment on function public.verify_ledger_as(jsonb) is 'Runs verify_ledger for an admin: {ok, checks: [{name, ok, checked, discrepancies}]}.';

create or replace function public.verify_user(p_actor jsonb, p_user_id uuid, p_default_tokens bigint)
returns jsonb
language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: writes users and balances, which no API role may.
declare
  v_actor text := private.require_admin(p_actor);
  v_user public.users;
  v_granted bigint;
begin
  select u.* into v_user from public.users u where u.id = p_user_id for update;
  if not found then
    raise sqlstate 'PT404' using message = 'USER_NOT_FOUND';
  end if;
  update public.users set email_verified_at = coalesce(email_verified_at, now()), updated_at = now() where id = p_user_id;
  v_granted := private.grant_default_tokens(p_user_id, p_default_tokens, v_actor);
  perform private.audit_admin(
    p_actor, 'verify_user', 'user:' || p_user_id,
    jsonb_build_object('email_verified', v_user.email_verified_at is not null),
    jsonb_build_object('email_verified', true, 'granted', v_granted)
  );
  select u.* into v_user from public.users u where u.id = p_user_id;
  return private.user_json(v_user);
end
$$;
grant execute on function public.verify_user(jsonb, uuid, bigint) to service_role;
comment on function public.verify_user(jsonb, uuid, bigint) is
  'Marks an account''s address as proved on an admin''s word, and pays the default tokens where they were not. Returns the account; raises USER_NOT_FOUND.';

create or replace view public.money_by_model with (security_invoker = true) as
  select date_trunc('month', bucket, 'UTC')::date as month, provider, model, sum(events) as events,
         sum(total_tokens) as total_tokens, sum(cost) as cost, sum(nano_usd) as nano_usd,
         round(sum(nano_usd) / 1000000000, 6) as usd
    from public.usage_rollups
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

drop policy if exists balances_read_own on public.balances;
create policy balances_read_own on public.balances
  for select to authenticated
  using (
    subject_id = (select public.current_device_id())
    or subject_id = (select public.current_user_id())
    or subject_id in (select d.id from public.devices d where d.user_id = (select public.current_user_id()))
  );

drop policy if exists devices_read_own on public.devices;
create policy devices_read_own on public.devices
  for select to authenticated
  using (
    id = (select public.current_device_id())
    or user_id = (select public.current_user_id())
  );

drop policy if exists ledger_entries_read_own on public.ledger_entries;
create policy ledger_entries_read_own on public.ledger_entries
  for select to authenticated
  using (
    subject_id = (select public.current_device_id())
    or subject_id = (select public.current_user_id())
    or subject_id in (select d.id from public.devices d where d.user_id = (select public.current_user_id()))
  );

drop policy if exists reservations_read_own on public.reservations;
create policy reservations_read_own on public.reservations
  for select to authenticated
  using (
    subject_id = (select public.current_device_id())
    or subject_id = (select public.current_user_id())
    or subject_id in (select d.id from public.devices d where d.user_id = (select public.current_user_id()))
  );

drop policy if exists usage_events_read_own on public.usage_events;
create policy usage_events_read_own on public.usage_events
  for select to authenticated
  using (
    subject_id = (select public.current_device_id())
    or subject_id = (select public.current_user_id())
    or user_id = (select public.current_user_id())
    or (
      user_id is null
      and subject_id in (select d.id from public.devices d where d.user_id = (select public.current_user_id()))
    )
  );

drop policy if exists usage_rollups_read_own on public.usage_rollups;
create policy usage_rollups_read_own on public.usage_rollups
  for select to authenticated
  using (
    subject_id = (select public.current_device_id())
    or subject_id = (select public.current_user_id())
    or subject_id in (select d.id from public.devices d where d.user_id = (select public.current_user_id()))
  );

reset check_function_bodies;

create or replace trigger devices_end_credentials
  before update of user_id, token_version on public.devices
  for each row execute function private.end_device_credentials();

-- Accounts that hold their first tokens are remembered, so that nobody is paid again. Safe to run twice.
update public.users u set default_granted_at = u.created_at
 where u.default_granted_at is null
   and exists (select from public.ledger_entries e where e.subject_id = u.id and e.kind = 'grant');
do $$
begin
  perform private.remember_identities(u.id) from public.users u where u.default_granted_at is not null order by u.id;
end
$$;

-- Notes the SHA-256 of the text above.
select private.record_migration('20261127215951', '57835d3419328c71d853a08d231e289d30ca4296282507cb10160531f9da6053');
