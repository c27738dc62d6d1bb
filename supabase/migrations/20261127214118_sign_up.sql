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


set check_function_bodies = off;

drop function if exists private.create_account(p_email text, p_name text, p_picture text, p_tokens bigint, p_actor text);

drop function if exists private.resolve_external_identity(p_identity jsonb, p_default_tokens bigint);

drop function if exists public.find_google_user(p_identity jsonb, p_default_tokens bigint);

drop function if exists public.issue_oauth_code(p_identity jsonb, p_default_tokens bigint, p_code_hash text, p_redirect_uri text, p_code_challenge text);

drop function if exists public.register_user(p_email text, p_password_hash text, p_default_tokens bigint, p_session jsonb, p_name text);

drop function if exists public.reset_password(p_token_hash text, p_password_hash text, p_revoke_keys boolean);

drop function if exists public.sign_in_with_provider(p_identity jsonb, p_default_tokens bigint, p_session jsonb);

drop function if exists public.update_profile(p_caller jsonb, p_changes jsonb);

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
  'Opens a session {refresh_hash, lifetime_seconds, user_agent, address, network} with its first refresh token, and remembers the network, where there is one, as one its owner logs in from. Returns {session_id, user, new_network}.';

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
  v_wait := private.count_attempt('email:change', v_user_id::text, 5, interval '1 hour');
  if v_wait is not null then
    raise sqlstate 'PT429' using message = 'RATE_LIMITED', detail = jsonb_build_object('retry_after', v_wait)::text;
  end if;
  insert into private.email_changes (user_id, email, token_hash, expires_at)
  values (v_user_id, p_email, decode(p_token_hash, 'hex'), now() + interval '24 hours');
end
$$;
comment on function private.request_email_change(jsonb, text, text) is
  'Makes this token (SHA-256, hex) the one that gives the account another address, for 24 hours; at most 5 an hour. Raises EMAIL_TAKEN, PROOF_REQUIRED, RATE_LIMITED, and MAIL_DISABLED without a token.';

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
         total_tokens = r.total_tokens - p_event.total_tokens, cost = r.cost - p_event.cost
   where r.subject_id = p_event.subject_id and r.bucket = v_bucket and r.provider = p_event.provider
     and r.model = p_event.model and r.source = p_event.source;
  delete from public.usage_rollups r
   where r.subject_id = p_event.subject_id and r.bucket = v_bucket and r.provider = p_event.provider
     and r.model = p_event.model and r.source = p_event.source and r.events = 0;
  perform private.take_out_total(row(
    v_bucket, 0, 1, p_event.prompt_count, p_event.input_tokens, p_event.output_tokens, p_event.total_tokens, p_event.cost
  )::public.usage_totals);
end
$$;
comment on function private.take_out_usage(public.usage_events) is 'Takes one event out of its rollup and the totals; empty ones go.';

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
  insert into private.api_keys (user_id, name, prefix, key_hash, scopes, expires_at)
  values (
    v_user_id, p_name, p_prefix, decode(p_key_hash, 'hex'), p_scopes,
    -- What a key makes does not outlive it.
    least(p_expires_at::timestamptz, (
      select k.expires_at from private.api_keys k where k.id = (p_caller ->> 'api_key_id')::uuid
    ))
  )
  returning * into v_key;
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
  'Keeps a new key''s SHA-256 (hex) and returns the key without it, and the address of its owner; one made by a key ends with it at the latest. Raises API_KEY_LIMIT beyond 50, VALIDATION_FAILED for an end in the past.';

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
  perform private.audit(
    v_actor, p_actor ->> 'request_id', 'create_invitation', 'invitation:' || v_invitation.id, null,
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
  perform private.audit(
    v_actor, p_actor ->> 'request_id', 'create_user', 'user:' || v_user.id, null, private.balance_json(v_user.id)
  );
  return private.user_json(v_user);
end
$$;
grant execute on function public.create_user(jsonb, text, bigint, text, text) to service_role;
comment on function public.create_user(jsonb, text, bigint, text, text) is
  'Creates an account with its default tokens; the password hash may be null. Returns the account; raises EMAIL_TAKEN.';

create or replace function public.delete_account(p_caller jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = '' set statement_timeout = '15min'
as $$
-- Definer: removes what no API role may write.
declare
  v_user_id uuid := (p_caller ->> 'id')::uuid;
  v_name text := 'user:' || v_user_id;
  v_email text;
  v_returned bigint;
begin
  -- Whatever adds a row to the account waits for this and then finds nobody; and this waits for whoever takes the
  -- account over, before it checks the caller's session.
  select u.email into v_email from public.users u where u.id = v_user_id for update;
  perform private.require_user(p_caller);
  perform private.require_fresh(p_caller);

  -- The long part first, while nobody waits for it; and once more for what a device records meanwhile.
  perform private.take_name_out_of_usage(v_user_id);
  update public.usage_events set url = null where subject_id = v_user_id and url is not null;
  perform private.forget_devices(v_user_id, v_name);
  perform private.take_name_out_of_usage(v_user_id);

  -- Only now, as everybody who registers waits for the pool.
  v_returned := private.close_balance(v_user_id, v_name);

  delete from private.idempotency_keys where subject_id = v_user_id;
  delete from private.known_addresses where account = v_name;
  delete from private.password_resets where email = v_email;
  delete from private.email_verifications where email = v_email;
  delete from private.login_attempts where key in (v_user_id::text, v_email) or starts_with(key, v_user_id || ' ');
  -- Credentials, sessions, keys, identities and all else that is secret or personal references this row and is deleted with it.
  -- What another capability keeps elsewhere is removed here; a subscription is cancelled with its provider before.
  delete from public.users where id = v_user_id;
  -- Without the request id, which is the caller's own word: nothing personal may get into the audit log.
  perform private.audit(v_name, null, 'delete_account', v_name, null, jsonb_build_object('returned', v_returned));
  return jsonb_build_object('deleted', true, 'email', v_email);
end
$$;
grant execute on function public.delete_account(jsonb) to service_role;
comment on function public.delete_account(jsonb) is
  'Removes the caller''s account with everything personal; its anonymous usage and ledger stay, its unused tokens return to the pool. Returns {deleted, email}; raises PROOF_REQUIRED.';

create or replace function public.delete_invitation(p_actor jsonb, p_id uuid)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes invitations, which no API role may.
declare
  v_actor text := private.require_admin(p_actor);
begin
  delete from private.invitations where id = p_id;
  if not found then
    raise sqlstate 'PT404' using message = 'INVITATION_NOT_FOUND';
  end if;
  perform private.audit(v_actor, p_actor ->> 'request_id', 'delete_invitation', 'invitation:' || p_id, null, null);
  return jsonb_build_object('deleted', true);
end
$$;
grant execute on function public.delete_invitation(jsonb, uuid) to service_role;
comment on function public.delete_invitation(jsonb, uuid) is
  'Removes an invitation, which nobody can redeem any more; an account made with it stays. Returns {deleted}; raises INVITATION_NOT_FOUND.';

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
  return private.user_json(v_user);
end
$$;
grant execute on function public.find_google_user(jsonb, bigint, text) to service_role;
comment on function public.find_google_user(jsonb, bigint, text) is
  'Returns the account of a person Google vouches for, made where there is none yet; raises INVALID_ACCESS_TOKEN where the address is another person''s.';

create or replace function public.finish_user_login(
  p_user_id uuid, p_password_hash text, p_address text, p_session jsonb
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes sessions and counters, which no API role may.
begin
  -- The hash the password was checked against must still be the account's; the lock lets no change slip between.
  perform from private.user_credentials c
   where c.user_id = p_user_id and c.password_hash = p_password_hash
     for share;
  if not found then
    raise sqlstate 'PT401' using message = 'INVALID_CREDENTIALS';
  end if;
  return private.open_session(p_user_id, p_session || jsonb_build_object('network', p_address));
end
$$;
grant execute on function public.finish_user_login(uuid, text, text, jsonb) to service_role;
comment on function public.finish_user_login(uuid, text, text, jsonb) is
  'After the right password: opens a session, if the password is still that one. Returns {session_id, user, new_network}; raises INVALID_CREDENTIALS.';

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

create or replace function public.list_invitations(
  p_actor jsonb, p_limit integer, p_before_at text default null, p_before_id uuid default null
)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: reads invitations, which no API role may.
begin
  perform private.require_admin(p_actor);
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
    perform private.keep_verification(p_email, v_user.id, p_verification_hash);
  end if;
  return private.open_session(v_user.id, p_session - 'network') || jsonb_build_object('verified', v_user.email_verified_at is not null);
end
$$;
grant execute on function public.register_user(text, text, bigint, text, jsonb, text, text, text) to service_role;
comment on function public.register_user(text, text, bigint, text, jsonb, text, text, text) is
  'Creates an account with a password where p_sign_up (open, verified, invite, closed) or an invitation lets it, and logs it in; its default tokens come at once where sign-up is open, else with the proof of the address. Returns {session_id, user, verified}; raises SIGNUP_CLOSED, INVITATION_REQUIRED, INVITATION_INVALID, EMAIL_TAKEN.';

create or replace function public.request_email_verification(p_email text, p_token_hash text)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes links and counters, which no API role may.
declare
  v_user_id uuid;
begin
  -- Past the limit the link mailed before stays good: a stranger who keeps asking cannot take it from its owner.
  if private.count_attempt('verify:account', p_email, 3, interval '15 minutes') is not null then
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
           sum(output_tokens) as output_tokens, sum(total_tokens) as total_tokens, sum(cost) as cost
      from public.usage_events e
      left join full_days f on f.subject_id = e.subject_id and f.day = (e.occurred_at at time zone 'UTC')::date
      left join private.rollup_names n
        on n.subject_id = f.subject_id and n.day = f.day and n.provider = e.provider and n.model = e.model
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
      (10, 'generations = their events and corrections')
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
  'Recomputes every balance, hold, rollup, counter and generation from the rows behind it. One row per check; ok is false where discrepancies lists differences.';

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
  perform private.audit(
    v_actor, p_actor ->> 'request_id', 'verify_user', 'user:' || p_user_id,
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

reset check_function_bodies;

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
select private.record_migration('20261127214118', '0385745f9d192eeccdc184ab4aeaaa9ad173827c4dff5a5c8b71f6c968c6919c');
