create or replace function private.prove_generations(p_trust_seals boolean)
returns table (place integer, title text, checked bigint, discrepancies jsonb)
language plpgsql stable set search_path = '' set work_mem = '64MB'
as $$
begin
  return query
  with closed as (
    select c.checked, c.discrepancies
      from private.usage_scopes(p_trust_seals) s
     cross join lateral private.compare_generations(s.month, s.until, s.subject_id) c
     where s.has_events
  ),
  -- What runs has no event yet.
  running as (
    select count(*) as checked,
           coalesce(
             jsonb_agg(jsonb_build_object('subject', g.id, 'stated', 0, 'proven', e.cost)) filter (where e.cost is not null), '[]'
           ) as discrepancies
      from public.reservations r
      join public.generations g on g.id = r.id
     cross join lateral (
       select nullif(sum(u.cost), 0) as cost from public.usage_events u
        where u.subject_id = g.subject_id and u.occurred_at >= g.created_at and u.id = g.id and u.source in ('chat', 'api')
     ) e
     where r.closed_at is null
  ),
  parts as (
    select * from closed union all select * from running
  )
  select 10, 'generations = their events and corrections', coalesce(sum(p.checked), 0)::bigint,
         coalesce((
           select jsonb_agg(d.found) from parts p cross join lateral jsonb_array_elements(p.discrepancies) d(found)
         ), '[]')
    from parts p;
end
$$;
comment on function private.prove_generations(boolean) is
  'Recomputes generations from their events and corrections, but for those that ended in sealed months, if seals are trusted.';
