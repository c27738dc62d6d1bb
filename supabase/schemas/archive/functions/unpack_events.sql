-- A function, as Citus reads a view over local and distributed tables whole, whatever is asked of it: readers unite usage_events
-- with this one. Its own conditions name the month and the subject, which is what the archive is packed by.
create or replace function private.unpack_events(p_from timestamptz, p_until timestamptz, p_subject_id uuid default null)
returns setof public.usage_events
language plpgsql stable set search_path = '' set plan_cache_mode = 'force_custom_plan'
as $$
begin
  if p_from >= public.archived_until() is not false then
    return;
  end if;
  return query
    select u.id, u.subject_id, u.user_id, u.device_id, u.source, u.provider, u.model, u.prompt_count, u.input_tokens,
           u.output_tokens, u.total_tokens, u.cost, u.provenance, u.period, u.url, u.occurred_at, u.created_at, u.nano_usd
      from private.unpacked_events u
     where u.since >= date_trunc('month', p_from, 'UTC') and u.since < p_until
       and u.occurred_at >= p_from and u.occurred_at < p_until
       and (p_subject_id is null or u.subject_id = p_subject_id);
end
$$;
comment on function private.unpack_events(timestamptz, timestamptz, uuid) is
  'Returns the archived events between two times, everybody''s or one subject''s; the archive is not looked at where the range begins after it.';
