create or replace function private.tracker_json(p_counters public.tracker_counters)
returns jsonb
language sql immutable set search_path = ''
as $$
  select jsonb_build_object(
    'prompts', coalesce(p_counters.prompts, 0),
    'tokens', coalesce(p_counters.tokens, 0),
    'enabled', coalesce(p_counters.enabled, true)
  )
$$;
comment on function private.tracker_json(public.tracker_counters) is
  'Returns an account''s counters as {prompts, tokens, enabled}, also for a row that is not there yet.';
