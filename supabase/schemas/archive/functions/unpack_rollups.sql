-- A function for the same reason as unpack_events.
create or replace function private.unpack_rollups(p_from timestamptz, p_until timestamptz, p_subject_id uuid default null)
returns setof public.usage_rollups
language plpgsql stable set search_path = '' set plan_cache_mode = 'force_custom_plan'
as $$
begin
  if p_from >= public.archived_until() is not false then
    return;
  end if;
  return query
    select u.subject_id, u.bucket, u.provider, u.model, u.source, u.events, u.prompts, u.input_tokens, u.output_tokens,
           u.total_tokens, u.cost, u.nano_usd
      from private.unpacked_rollups u
     where u.month >= date_trunc('month', p_from, 'UTC') and u.month < p_until
       and u.bucket >= p_from and u.bucket < p_until
       and (p_subject_id is null or u.subject_id = p_subject_id);
end
$$;
comment on function private.unpack_rollups(timestamptz, timestamptz, uuid) is
  'Returns the archived rollups between two times, everybody''s or one subject''s; the archive is not looked at where the range begins after it.';
