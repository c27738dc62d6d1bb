create or replace function private.add_to_rollup(p_rollup public.usage_rollups)
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  insert into public.usage_rollups as r values (p_rollup.*)
  on conflict (subject_id, bucket, provider, model, source) do update
    set events = r.events + excluded.events,
        prompts = r.prompts + excluded.prompts,
        input_tokens = r.input_tokens + excluded.input_tokens,
        output_tokens = r.output_tokens + excluded.output_tokens,
        total_tokens = r.total_tokens + excluded.total_tokens,
        cost = r.cost + excluded.cost,
        nano_usd = r.nano_usd + excluded.nano_usd;
end
$$;
comment on function private.add_to_rollup(public.usage_rollups) is
  'Adds to the rollup of a quarter hour, subject, provider, model and source.';
