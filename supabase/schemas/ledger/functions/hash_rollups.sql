create or replace function private.hash_rollups(p_from timestamptz, p_until timestamptz, p_subject_id uuid default null)
returns table (subject_id uuid, rollups bigint, tracked_prompts bigint, tracked_tokens bigint, checksum numeric)
language plpgsql stable set search_path = '' set plan_cache_mode = 'force_custom_plan' set work_mem = '64MB'
as $$
begin
  return query
    select r.subject_id, count(*), coalesce(sum(r.prompts) filter (where r.source = 'tracker'), 0)::bigint,
           coalesce(sum(r.total_tokens) filter (where r.source = 'tracker'), 0)::bigint,
           sum(hash_record_extended(row(
             r.subject_id, r.bucket, r.provider, r.model, r.source, r.events, r.prompts, r.input_tokens, r.output_tokens,
             r.total_tokens, r.cost, r.nano_usd
           ), 0))
      from (
        select * from public.usage_rollups l
         where l.bucket >= p_from and l.bucket < p_until and (p_subject_id is null or l.subject_id = p_subject_id)
        union all
        select * from private.unpack_rollups(p_from, p_until, p_subject_id)
      ) r
     group by r.subject_id;
end
$$;
comment on function private.hash_rollups(timestamptz, timestamptz, uuid) is
  'Returns what the rollups of a month, or of one subject in it, add up to, with the sum of their hashes.';
