-- What was changed since is proved with its books, and sealed anew: the seal says nothing about it.
create or replace function private.prove_seal(p_month timestamptz, out checked bigint, out discrepancies jsonb)
language plpgsql stable set search_path = '' set plan_cache_mode = 'force_custom_plan' set work_mem = '64MB'
as $$
declare
  v_until timestamptz := (p_month at time zone 'UTC' + interval '1 month') at time zone 'UTC';
begin
  with
  subjects as materialized (
    select distinct c.subject_id from private.changed_usage c where c.month = p_month
  ),
  buckets as materialized (
    select distinct c.bucket from private.changed_usage c where c.month = p_month
  ),
  events as (
    select subject_id::text as subject, jsonb_build_array('events', s.events, s.cost, s.checksum) as stated,
           jsonb_build_array('events', e.events, e.cost, e.checksum) as proven,
           (s.events, s.cost, s.checksum) is distinct from (e.events, e.cost, e.checksum)
             and not exists (select from subjects c where c.subject_id = coalesce(s.subject_id, e.subject_id)) as differs
      from (select * from private.sealed_events where month = p_month) s
      full join private.hash_events(p_month, v_until) e using (subject_id, period)
  ),
  rollups as (
    select subject_id::text as subject, jsonb_build_array('rollups', s.rollups, s.checksum) as stated,
           jsonb_build_array('rollups', r.rollups, r.checksum) as proven,
           (s.rollups, s.tracked_prompts, s.tracked_tokens, s.checksum)
             is distinct from (r.rollups, r.tracked_prompts, r.tracked_tokens, r.checksum)
             and not exists (select from subjects c where c.subject_id = coalesce(s.subject_id, r.subject_id)) as differs
      from (select * from private.sealed_rollups where month = p_month) s
      full join private.hash_rollups(p_month, v_until) r using (subject_id)
  ),
  totals as (
    select bucket::text as subject, jsonb_build_array('totals', s.events, s.total_tokens, s.cost, s.nano_usd) as stated,
           jsonb_build_array('totals', r.events, r.total_tokens, r.cost, r.nano_usd) as proven,
           (s.events, s.prompts, s.input_tokens, s.output_tokens, s.total_tokens, s.cost, s.nano_usd) is distinct from
           (r.events, r.prompts, r.input_tokens, r.output_tokens, r.total_tokens, r.cost, r.nano_usd)
             and not exists (select from buckets c where c.bucket = coalesce(s.bucket, r.bucket)) as differs
      from (select * from private.sealed_totals where bucket >= p_month and bucket < v_until) s
      full join private.sum_rollups(p_month, v_until) r using (bucket)
  ),
  compared as (
    select * from events union all select * from rollups union all select * from totals
  )
  select count(*),
         coalesce(
           jsonb_agg(jsonb_build_object('subject', c.subject, 'stated', c.stated, 'proven', c.proven)) filter (where c.differs),
           '[]'
         )
    into checked, discrepancies
    from compared c;
end
$$;
comment on function private.prove_seal(timestamptz) is
  'Reads the events and rollups of a sealed month again and compares them with its seal; returns how many sums, and the differences.';
