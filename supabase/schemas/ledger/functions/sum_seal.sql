create or replace function private.sum_seal(p_month timestamptz)
returns void
language sql volatile set search_path = ''
as $$
  update private.sealed_months m
     set events = e.events, rollups = r.rollups, checksum = e.checksum + r.checksum
    from (
      select coalesce(sum(s.events), 0) as events, coalesce(sum(s.checksum), 0) as checksum
        from private.sealed_events s where s.month = p_month
    ) e
   cross join (
      select coalesce(sum(s.rollups), 0) as rollups, coalesce(sum(s.checksum), 0) as checksum
        from private.sealed_rollups s where s.month = p_month
    ) r
   where m.month = p_month
$$;
comment on function private.sum_seal(timestamptz) is 'Adds the seals of a month''s subjects up to the month''s own.';
