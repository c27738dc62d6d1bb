create or replace function private.usage_scopes(p_trust_seals boolean default true)
returns table (month timestamptz, until timestamptz, subject_id uuid, has_events boolean)
language sql stable set search_path = ''
as $$
  with months as materialized (
    select * from private.usage_months(p_trust_seals)
  )
  select m.month, m.until, null::uuid, m.has_events from months m where not m.is_sealed
  union all
  select distinct m.month, m.until, c.subject_id, m.has_events
    from months m join private.changed_usage c on c.month = m.month
   where m.is_sealed
$$;
comment on function private.usage_scopes(boolean) is
  'Returns what has to be proved from its rows: whole months without a seal, and subjects of which something changed in sealed ones.';
