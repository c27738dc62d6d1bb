create or replace function private.hash_subjects(p_from timestamptz, p_until timestamptz, p_subjects uuid[])
returns jsonb
language sql stable set search_path = ''
as $$
  select jsonb_agg(
           jsonb_build_array(
             s.subject_id,
             (select jsonb_agg(to_jsonb(e) order by e.period) from private.hash_events(p_from, p_until, s.subject_id) e),
             (select jsonb_agg(to_jsonb(r)) from private.hash_rollups(p_from, p_until, s.subject_id) r)
           ) order by s.subject_id
         )
    from unnest(p_subjects) s(subject_id)
$$;
comment on function private.hash_subjects(timestamptz, timestamptz, uuid[]) is
  'Returns what subjects'' events and rollups of a month add up to, wherever they lie, with their hashes; null for no subject.';
