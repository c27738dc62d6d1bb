create or replace function private.thaw_subject(p_subject_id uuid)
returns void
language plpgsql volatile set search_path = '' set plan_cache_mode = 'force_custom_plan'
as $$
declare
  v_month timestamptz;
begin
  -- First the lock, so that what is archived meanwhile is seen.
  perform pg_advisory_xact_lock_shared(hashtext('private.archive'));
  for v_month in
    select date_trunc('month', a.since, 'UTC') from private.archived_events a where a.subject_id = p_subject_id
    union
    select a.month from private.archived_rollups a where a.subject_id = p_subject_id
     order by 1
  loop
    perform private.thaw_usage(p_subject_id, v_month);
  end loop;
end
$$;
comment on function private.thaw_subject(uuid) is 'Puts all that a subject has in the archive back where it can be changed.';
