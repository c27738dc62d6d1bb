create or replace function private.usage_between(p_from timestamptz, p_to timestamptz)
returns jsonb
language sql stable set search_path = ''
as $$
  select jsonb_build_object(
    'events', coalesce(sum(events), 0), 'prompts', coalesce(sum(prompts), 0),
    'total_tokens', coalesce(sum(total_tokens), 0), 'cost', coalesce(sum(cost), 0),
    'nano_usd', coalesce(sum(nano_usd), 0)
  ) from public.usage_totals where bucket >= p_from and bucket < p_to
$$;
comment on function private.usage_between(timestamptz, timestamptz) is 'Returns usage of everybody between two quarter hours.';
