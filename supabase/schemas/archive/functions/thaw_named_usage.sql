create or replace function private.thaw_named_usage(p_user_id uuid)
returns void
language plpgsql volatile set search_path = '' set plan_cache_mode = 'force_custom_plan'
as $$
declare
  v_scope record;
begin
  -- First the lock, so that what is archived meanwhile is seen.
  perform pg_advisory_xact_lock_shared(hashtext('private.archive'));
  for v_scope in
    select distinct a.subject_id, date_trunc('month', a.since, 'UTC') as month
      from private.archived_events a
     where a.user_id = p_user_id and a.user_id is distinct from a.subject_id
     order by 1, 2
  loop
    perform private.thaw_usage(v_scope.subject_id, v_scope.month);
  end loop;
end
$$;
comment on function private.thaw_named_usage(uuid) is
  'Puts what devices recorded in an account''s name, with all of their month, back where it can be changed.';
