-- Everybody starts with the tokens of a new account; free adds none each month.
insert into public.plans (tier, monthly_tokens, device_limit)
values ('free', 0, 10), ('pro', 5000000, 25), ('premium', 20000000, 100)
on conflict (tier) do nothing;
