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
