-- The columns are written out, as a column that comes later must not break seals. Hash partitioning depends on these hashes,
-- too: they are the same on every machine and in every version.
create or replace function private.hash_events(p_from timestamptz, p_until timestamptz, p_subject_id uuid default null)
returns table (subject_id uuid, period integer, events bigint, cost bigint, checksum numeric)
language plpgsql stable set search_path = '' set plan_cache_mode = 'force_custom_plan' set work_mem = '64MB'
as $$
begin
  return query
    select e.subject_id, e.period, count(*), sum(e.cost)::bigint,
           sum(hash_record_extended(row(
             e.id, e.subject_id, e.user_id, e.device_id, e.source, e.provider, e.model, e.prompt_count, e.input_tokens,
             e.output_tokens, e.total_tokens, e.cost, e.provenance, e.period, e.url, e.occurred_at, e.created_at,
             e.nano_usd
           ), 0))
      from (
        select * from public.usage_events l
         where l.occurred_at >= p_from and l.occurred_at < p_until and (p_subject_id is null or l.subject_id = p_subject_id)
        union all
        select * from private.unpack_events(p_from, p_until, p_subject_id)
      ) e
     group by e.subject_id, e.period;
end
$$;
comment on function private.hash_events(timestamptz, timestamptz, uuid) is
  'Returns what the events of a month, or of one subject in it, add up to, with the sum of their hashes.';
