alter table public.users enable row level security;
grant select on table public.users to authenticated;
create policy users_read_own on public.users
  for select to authenticated
  using (id = (select public.current_user_id()));

-- No policy and no grant: only functions with their definer's rights reach these.
alter table private.user_credentials enable row level security;
