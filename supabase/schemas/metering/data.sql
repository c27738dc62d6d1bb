insert into public.model_costs (model, cost) values ('*', 1), ('claude-opus-4.5', 3)
on conflict (model) do nothing;

select private.ensure_usage_partition(now() + make_interval(months => n)) from generate_series(-1, 3) as n;
