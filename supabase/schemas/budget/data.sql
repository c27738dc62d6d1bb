insert into public.budgets (subject_kind) values ('device'), ('user') on conflict (subject_kind) do nothing;
