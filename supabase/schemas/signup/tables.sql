-- Who may have an account, and what proves an address: mailed links, invitations, and the memory of paid grants.

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
