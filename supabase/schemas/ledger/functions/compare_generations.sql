-- A closed generation has one event of what it was settled at; corrections are ledger entries.
create or replace function private.compare_generations(
  p_from timestamptz, p_until timestamptz, p_subject_id uuid default null, out checked bigint, out discrepancies jsonb
)
language plpgsql stable set search_path = '' set plan_cache_mode = 'force_custom_plan' set work_mem = '64MB'
as $$
begin
  with closed as materialized (
    select r.id, r.status, r.created_at from public.reservations r
     where r.closed_at >= p_from and r.closed_at < p_until and (p_subject_id is null or r.subject_id = p_subject_id)
  ),
  events as (
    select e.id, sum(e.cost) as cost
      from (
        select * from public.usage_events l
         where l.occurred_at >= p_from and l.occurred_at < p_until and (p_subject_id is null or l.subject_id = p_subject_id)
        union all
        select * from private.unpack_events(p_from, p_until, p_subject_id)
      ) e
     where e.source in ('chat', 'api')
     group by e.id
  ),
  compared as (
    select g.id, coalesce(e.cost, 0) as proven,
           (
             private.weighted_tokens(g, g.input_tokens, g.output_tokens) - g.uncollected
             + coalesce((
               select sum(l.amount) from public.ledger_entries l
                where l.kind = 'correction' and l.reference = 'generation:' || g.id
             ), 0)
           )::numeric as stated
      from closed r
      join public.generations g on g.id = r.id
      left join events e on e.id = g.id
     where r.status <> 'held'
       -- A generation is as old as its hold: nothing older has to be read.
       and g.created_at >= (select min(c.created_at) from closed c)
  )
  select count(*),
         coalesce(
           jsonb_agg(jsonb_build_object('subject', c.id, 'stated', c.stated, 'proven', c.proven))
             filter (where c.stated is distinct from c.proven),
           '[]'
         )
    into checked, discrepancies
    from compared c;
end
$$;
comment on function private.compare_generations(timestamptz, timestamptz, uuid) is
  'Compares the generations that ended in a month, or those of one subject, with their events and corrections; returns how many, and the differences.';
