insert into public.periods (number) values (1) on conflict (number) do nothing;
