create or replace function private.prove_balances(p_trust_seals boolean)
returns table (place integer, title text, checked bigint, discrepancies jsonb)
language plpgsql stable set search_path = '' set work_mem = '64MB'
as $$
begin
  return query
  with
  scopes as materialized (
    select * from private.usage_scopes(p_trust_seals)
  ),
  costs as (
    -- Of sealed months, what did not change since.
    select e.subject_id, e.period, e.cost
      from private.sealed_events e
      join private.usage_months(p_trust_seals) m on m.month = e.month and m.is_sealed
      left join scopes s on s.month = e.month and s.subject_id = e.subject_id
     where s.month is null
    union all
    select e.subject_id, e.period, e.cost
      from scopes s
     cross join lateral (
       select u.subject_id, u.period, sum(u.cost)::bigint as cost from public.usage_events u
        where u.occurred_at >= s.month and u.occurred_at < s.until
        group by u.subject_id, u.period
     ) e
     where s.subject_id is null and s.has_events
    union all
    select e.subject_id, e.period, e.cost
      from scopes s
      join public.usage_events e
        on e.subject_id = s.subject_id and e.occurred_at >= s.month and e.occurred_at < s.until
     where s.has_events
    union all
    select e.subject_id, e.period, e.cost
      from scopes s cross join lateral private.unpack_events(s.month, s.until, s.subject_id) e
     where s.has_events
    union all
    select r.subject_id, r.period, r.cost from private.retired_usage r
  ),
  parts as (
    select 1 as place, subject_id::text as subject, b.allocated as stated, coalesce(e.total, 0) as proven
      from public.balances b
      full join (select subject_id, sum(amount) as total from public.ledger_entries group by subject_id) e using (subject_id)
    union all
    select 2, b.subject_id::text, b.used + b.debt, coalesce(e.total, 0)
      from public.balances b
      left join (select c.subject_id, c.period, sum(c.cost) as total from costs c group by c.subject_id, c.period) e
        on e.subject_id = b.subject_id and e.period = b.period
    union all
    select 3, subject_id::text, b.reserved, coalesce(r.total, 0)
      from public.balances b
      full join (
        select subject_id, sum(amount) as total from public.reservations where status = 'held' group by subject_id
      ) r using (subject_id)
    union all
    select 7, subject_kind, p.allocated, coalesce(b.total, 0)
      from public.budgets p
      left join (
        -- A balance that has yet to come into the period that runs counts as what it will have there.
        select o.subject_kind,
               sum(case
                 when o.subject_kind = 'user' or o.period = n.number then o.allocated
                 when d.deleted_at is null then n.default_tokens
                 else 0
               end) as total
          from public.balances o
          cross join lateral (select p.* from public.periods p order by p.number desc limit 1) n
          left join public.devices d on d.id = o.subject_id
         group by o.subject_kind
      ) b using (subject_kind)
    union all
    select 9, b.subject_id::text, b.debt, 0 from public.balances b where b.debt > 0 and b.allocated > b.used + b.reserved
  )
  select t.place, t.title, count(p.place),
         coalesce(
           jsonb_agg(jsonb_build_object('subject', p.subject, 'stated', p.stated, 'proven', p.proven))
             filter (where p.place is not null and p.stated is distinct from p.proven),
           '[]'
         )
    from (values
           (1, 'allocated = sum of ledger entries'), (2, 'used + debt = sum of event costs in the period'),
           (3, 'reserved = sum of held reservations'), (7, 'pools = sums of allocations'), (9, 'debt only where nothing is left')
         ) as t(place, title)
    left join parts p on p.place = t.place
   group by t.place, t.title;
end
$$;
comment on function private.prove_balances(boolean) is
  'Recomputes balances and pools from ledger entries, events and holds; what sealed months add up to is taken from their seals, if these are trusted.';
