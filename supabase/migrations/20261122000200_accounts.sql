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
