create or replace function private.archived_last_use(p_subject_id uuid)
returns timestamptz
language plpgsql stable set search_path = '' set plan_cache_mode = 'force_custom_plan'
as $$
begin
  return (
    select max(a.month + q.quarter * interval '15 minutes')
      from private.archived_rollups a cross join lateral unnest(a.quarters) q(quarter)
     where a.subject_id = p_subject_id
       and a.month = (
         select l.month from private.archived_rollups l where l.subject_id = p_subject_id order by l.month desc limit 1
       )
  );
end
$$;
comment on function private.archived_last_use(uuid) is 'Returns the quarter hour of a device''s or user''s last archived use, null where there is none.';
