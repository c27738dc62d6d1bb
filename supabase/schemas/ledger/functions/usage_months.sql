-- A seal counts while what would tell of a change is in force: the triggers, and the events themselves.
create or replace function private.usage_months(p_trust_seals boolean default true)
returns table (month timestamptz, until timestamptz, has_events boolean, is_sealed boolean)
language sql stable set search_path = ''
as $$
  with recursive partitions as materialized (
    select p.lower_bound as month, to_regclass('private.' || p.name) as relation from private.usage_partitions() p
  ),
  watched as (
    select not exists (
      select from pg_catalog.pg_trigger t where t.tgname like 'mark\_changed\_%' and t.tgenabled in ('D', 'R')
    ) as in_force
  ),
  changed as (
    select c.month, count(distinct c.subject_id) as subjects from private.changed_usage c group by c.month
  ),
  -- One look-up by the index a month, instead of reading every total.
  counted(month) as (
    select date_trunc('month', min(t.bucket), 'UTC') from public.usage_totals t
    union all
    select (
             select date_trunc('month', min(t.bucket), 'UTC') from public.usage_totals t
              where t.bucket >= (c.month at time zone 'UTC' + interval '1 month') at time zone 'UTC'
           )
      from counted c where c.month is not null
  ),
  months as (
    select p.month from partitions p
    union
    select c.month from counted c where c.month is not null
    union
    select c.month from changed c
    union
    select s.month from private.sealed_months s
  )
  select m.month, (m.month at time zone 'UTC' + interval '1 month') at time zone 'UTC', p.month is not null,
         p_trust_seals and w.in_force and s.sealed_at is not null and s.fault is null
           and (p.month is null) = (s.retired_at is not null)
           and (
             s.events = 0 or a.month is not null or exists (
               select from public.usage_events e
                where e.occurred_at >= m.month
                  and e.occurred_at < (m.month at time zone 'UTC' + interval '1 month') at time zone 'UTC'
             )
           )
           -- Beyond some, reading the whole month is quicker than one subject after the other.
           and coalesce(c.subjects, 0) <= 1000
    from months m
   cross join watched w
    left join partitions p on p.month = m.month
    left join private.sealed_months s on s.month = m.month
    left join changed c on c.month = m.month
    left join private.archived_months a on a.month = m.month
$$;
comment on function private.usage_months(boolean) is
  'Returns the months there are events, rollups or seals of, and whether their seal may be trusted.';
