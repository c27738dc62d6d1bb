-- Of whom something changed since the month was sealed, the seal says nothing.
create or replace function private.prove_archive(p_from timestamptz, p_until timestamptz, p_subjects uuid[] default null)
returns bigint
language plpgsql stable set search_path = '' set plan_cache_mode = 'force_custom_plan' set work_mem = '64MB'
as $$
declare
  v_differences bigint;
begin
  with
  changed as materialized (
    select distinct c.subject_id from private.changed_usage c where c.month = p_from
  ),
  packed_events as (
    select u.subject_id, u.period, count(*) as events, sum(u.cost) as cost,
           sum(hash_record_extended(row(
             u.id, u.subject_id, u.user_id, u.device_id, u.source, u.provider, u.model, u.prompt_count, u.input_tokens,
             u.output_tokens, u.total_tokens, u.cost, u.provenance, u.period, u.url, u.occurred_at, u.created_at,
             u.nano_usd
           ), 0)) as checksum
      from private.unpacked_events u
     where u.since >= p_from and u.since < p_until and (p_subjects is null or u.subject_id = any (p_subjects))
     group by u.subject_id, u.period
  ),
  packed_rollups as (
    select u.subject_id, count(*) as rollups,
           sum(hash_record_extended(row(
             u.subject_id, u.bucket, u.provider, u.model, u.source, u.events, u.prompts, u.input_tokens, u.output_tokens,
             u.total_tokens, u.cost, u.nano_usd
           ), 0)) as checksum
      from private.unpacked_rollups u
     where u.month = p_from and (p_subjects is null or u.subject_id = any (p_subjects))
     group by u.subject_id
  ),
  differences as (
    select subject_id
      from packed_events p
      full join (
        select e.subject_id, e.period, e.events, e.cost, e.checksum from private.sealed_events e
         where e.month = p_from and (p_subjects is null or e.subject_id = any (p_subjects))
      ) s using (subject_id, period)
     where (p.events, p.cost, p.checksum) is distinct from (s.events, s.cost, s.checksum)
    union all
    select subject_id
      from packed_rollups p
      full join (
        select r.subject_id, r.rollups, r.checksum from private.sealed_rollups r
         where r.month = p_from and (p_subjects is null or r.subject_id = any (p_subjects))
      ) s using (subject_id)
     where (p.rollups, p.checksum) is distinct from (s.rollups, s.checksum)
  )
  select count(*) into v_differences from differences d where d.subject_id not in (select c.subject_id from changed c);
  return v_differences;
end
$$;
comment on function private.prove_archive(timestamptz, timestamptz, uuid[]) is
  'Unpacks what is archived of a month, or of some subjects in it, compares it with the month''s seal, and returns the number of differences.';
