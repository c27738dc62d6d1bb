create or replace function private.sum_rollups(p_from timestamptz, p_until timestamptz, p_buckets timestamptz[] default null)
returns table (
  bucket timestamptz, events bigint, prompts bigint, input_tokens bigint, output_tokens bigint, total_tokens bigint, cost bigint,
  nano_usd bigint
)
language plpgsql stable set search_path = '' set plan_cache_mode = 'force_custom_plan'
as $$
begin
  return query
    select r.bucket, sum(r.events)::bigint, sum(r.prompts)::bigint, sum(r.input_tokens)::bigint, sum(r.output_tokens)::bigint,
           sum(r.total_tokens)::bigint, sum(r.cost)::bigint, sum(r.nano_usd)::bigint
      from (
        select * from public.usage_rollups l where l.bucket >= p_from and l.bucket < p_until
        union all
        select * from private.unpack_rollups(p_from, p_until)
      ) r
     where p_buckets is null or r.bucket = any (p_buckets)
     group by r.bucket;
end
$$;
comment on function private.sum_rollups(timestamptz, timestamptz, timestamptz[]) is
  'Returns what everybody''s rollups add up to in each quarter hour between two times, or in some of them.';
