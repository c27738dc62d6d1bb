-- In short what is quickly read: months, by what everybody used on their days. In full each device and user, from the rollups.
create or replace function private.prove_subjects(p_full boolean)
returns table (place integer, title text, checked bigint, discrepancies jsonb)
language plpgsql stable set search_path = '' set work_mem = '64MB'
as $$
begin
  return query
  with
  days as materialized (
    select s.day, date_trunc('month', s.day::timestamp)::date as month from private.summed_days s
     where s.summed_at is not null and s.subjects_at is not null
       and not exists (select from private.changed_days c where c.day = s.day)
  ),
  months as materialized (
    select d.month from days d
     group by d.month having count(*) = extract(day from d.month + interval '1 month' - interval '1 day')
  ),
  stated as (
    select to_char(u.month, 'YYYY-MM') as part, case when p_full then u.subject_id end as subject_id,
           array[sum(u.events), sum(u.prompts), sum(u.input_tokens), sum(u.output_tokens), sum(u.total_tokens), sum(u.cost),
                 sum(u.nano_usd)] as sums
      from months m join private.monthly_subject_usage u on u.month = m.month
     group by 1, 2
    union all
    select to_char(u.day, 'YYYY-MM-DD'), u.subject_id,
           array[u.events, u.prompts, u.input_tokens, u.output_tokens, u.total_tokens, u.cost, u.nano_usd]
      from days d join private.daily_subject_usage u on u.day = d.day
     where p_full
  ),
  used as materialized (
    select u.day, null::uuid as subject_id, u.events, u.prompts, u.input_tokens, u.output_tokens, u.total_tokens, u.cost,
           u.nano_usd
      from private.daily_usage u where not p_full
    union all
    select (r.bucket at time zone 'UTC')::date, r.subject_id, sum(r.events), sum(r.prompts), sum(r.input_tokens),
           sum(r.output_tokens), sum(r.total_tokens), sum(r.cost), sum(r.nano_usd)
      from (
        select * from public.usage_rollups where p_full
        union all
        select * from private.unpack_rollups('-infinity', 'infinity') where p_full
      ) r
     group by 1, 2
  ),
  proven as (
    select to_char(m.month, 'YYYY-MM') as part, u.subject_id,
           array[sum(u.events), sum(u.prompts), sum(u.input_tokens), sum(u.output_tokens), sum(u.total_tokens), sum(u.cost),
                 sum(u.nano_usd)] as sums
      from months m join used u on date_trunc('month', u.day::timestamp)::date = m.month
     group by 1, 2
    union all
    select to_char(u.day, 'YYYY-MM-DD'), u.subject_id,
           array[u.events, u.prompts, u.input_tokens, u.output_tokens, u.total_tokens, u.cost, u.nano_usd]
      from days d join used u on u.day = d.day
     where p_full
  ),
  compared as (
    select concat_ws(' ', coalesce(s.part, p.part), coalesce(s.subject_id, p.subject_id)) as subject,
           coalesce(s.sums, array_fill(0::numeric, '{7}')) as stated, coalesce(p.sums, array_fill(0::numeric, '{7}')) as proven
      from stated s
      full join proven p
        on p.part = s.part
       and coalesce(p.subject_id, '00000000-0000-0000-0000-000000000000') = coalesce(s.subject_id, '00000000-0000-0000-0000-000000000000')
  )
  select 14, 'subjects'' sums = sums of rollups', count(*),
         coalesce(
           jsonb_agg(jsonb_build_object('subject', c.subject, 'stated', c.stated, 'proven', c.proven))
             filter (where c.stated is distinct from c.proven),
           '[]'
         )
    from compared c;
end
$$;
comment on function private.prove_subjects(boolean) is
  'Proves what devices and users used in months from everybody''s daily sums, or with p_full each of their days and months from the rollups; days that are to be summed anew, and their months, are not used, and not proved.';
