alter table public.generations enable row level security;
grant select on table public.generations to authenticated;
create policy generations_read_own on public.generations
  for select to authenticated
  using (subject_id = (select public.current_user_id()));

-- No policy and no grant: only functions with their definer's rights reach it.
alter table public.model_weights enable row level security;
