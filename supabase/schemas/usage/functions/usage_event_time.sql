create or replace function private.usage_event_time(p_id uuid)
returns timestamptz
language sql immutable set search_path = ''
as $$
  select timestamptz 'epoch'
    + ('x' || left(replace(p_id::text, '-', ''), 12))::bit(48)::bigint * interval '1 millisecond'
$$;
comment on function private.usage_event_time(uuid) is 'Returns when an observed event happened, by its id.';
