create or replace function private.prove_seals(p_full boolean)
returns table (place integer, title text, checked bigint, discrepancies jsonb)
language sql stable set search_path = ''
as $$
  with
  parts as (
    select m.month, m.events, m.rollups, m.checksum, m.fault,
           (select coalesce(sum(e.events), 0) from private.sealed_events e where e.month = m.month) as sealed_events,
           (select coalesce(sum(r.rollups), 0) from private.sealed_rollups r where r.month = m.month) as sealed_rollups,
           (select coalesce(sum(e.checksum), 0) from private.sealed_events e where e.month = m.month)
             + (select coalesce(sum(r.checksum), 0) from private.sealed_rollups r where r.month = m.month) as sealed_checksum
      from private.sealed_months m
     where m.sealed_at is not null
  ),
  findings as (
    select p.month::text as subject, to_jsonb(array[p.events, p.rollups, p.checksum]) as stated,
           to_jsonb(array[p.sealed_events, p.sealed_rollups, p.sealed_checksum]) as proven
      from parts p
     where (p.events, p.rollups, p.checksum) is distinct from (p.sealed_events, p.sealed_rollups, p.sealed_checksum)
    union all
    select p.month::text, '"as it was sealed"', p.fault from parts p where p.fault is not null
    union all
    select distinct c.subject_id::text, '"as it was sealed"'::jsonb, jsonb_build_object('changed by hand', c.bucket)
      from private.changed_usage c join parts p on p.month = c.month
     where c.by_hand
    union all
    select d.found ->> 'subject', d.found -> 'stated', d.found -> 'proven'
      from parts p
     cross join lateral private.prove_seal(p.month) s
     cross join lateral jsonb_array_elements(s.discrepancies) d(found)
     where p_full
  )
  select 12, 'sealed months are as they were sealed', (select count(*) from parts),
         coalesce(jsonb_agg(jsonb_build_object('subject', f.subject, 'stated', f.stated, 'proven', f.proven)), '[]')
    from findings f
$$;
comment on function private.prove_seals(boolean) is
  'Proves that seals add up and that nothing sealed was changed by hand; with p_full also reads every sealed month again.';
