-- Accounts: the people usage is counted for.

create table if not exists public.users (
  id uuid primary key default gen_random_uuid(),
  email text not null unique check (email = lower(email) and length(email) between 3 and 320),
  name text check (length(name) <= 200),
  picture text check (length(picture) <= 2048),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  email_verified_at timestamptz,
  suspended_at timestamptz,
  default_granted_at timestamptz
);
create index if not exists users_created_at_idx on public.users (created_at, id);
comment on table public.users is 'People with an account. Secrets (password hashes, tokens) live in the schema private.';
comment on column public.users.id is 'The account''s id, also the subject id of its balance.';
comment on column public.users.email is 'Lower-case e-mail address, unique.';
comment on column public.users.name is 'Display name, if given.';
comment on column public.users.picture is 'Address of a profile picture, if given.';
comment on column public.users.created_at is 'When the account was created.';
comment on column public.users.updated_at is 'When the profile last changed.';
comment on column public.users.email_verified_at is
  'When the address was proved, by a link mailed to it or by a sign-in provider; null for an address nobody proved yet.';
comment on column public.users.suspended_at is
  'Since when an admin keeps the account from everything; null for an account in good standing.';
comment on column public.users.default_granted_at is
  'When the account was paid its first tokens; null where it was not, as its address is not proved or was paid before.';

create table if not exists private.user_credentials (
  user_id uuid primary key references public.users (id) on delete cascade,
  password_hash text not null check (password_hash like '$argon2id$%'),
  updated_at timestamptz not null default now()
);
comment on table private.user_credentials is 'Passwords of accounts that have one.';
comment on column private.user_credentials.user_id is 'The account.';
comment on column private.user_credentials.password_hash is 'argon2id hash of the password.';
comment on column private.user_credentials.updated_at is 'When the password last changed.';
