create or replace function private.add_to_total(p_total public.usage_totals)
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  insert into public.usage_totals as t values (p_total.*)
  on conflict (bucket, shard) do update
    set events = t.events + excluded.events,
        prompts = t.prompts + excluded.prompts,
        input_tokens = t.input_tokens + excluded.input_tokens,
        output_tokens = t.output_tokens + excluded.output_tokens,
        total_tokens = t.total_tokens + excluded.total_tokens,
        cost = t.cost + excluded.cost,
        nano_usd = t.nano_usd + excluded.nano_usd;
end
$$;
comment on function private.add_to_total(public.usage_totals) is
  'Adds to everybody''s total of a quarter hour, in one of its shards.';
