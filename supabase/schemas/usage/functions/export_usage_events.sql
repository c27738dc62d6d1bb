create or replace function public.export_usage_events(
  p_limit integer, p_after_at timestamptz default '-infinity', p_after_id uuid default '00000000-0000-0000-0000-000000000000'
)
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user();
begin
  -- What counts against the person, and what devices recorded in their name. What a device did before it was linked may
  -- be somebody else's.
  return (
    select coalesce(jsonb_agg(to_jsonb(page) - 'subject_id' - 'user_id' order by page.occurred_at, page.id), '[]')
      from (
        (
          select e.* from public.usage_events e
           where e.subject_id = v_user_id
             and e.occurred_at >= p_after_at and (e.occurred_at, e.id) > (p_after_at, p_after_id)
           order by e.occurred_at, e.id
           limit p_limit
        )
        union all
        (
          select e.* from public.usage_events e
           where e.user_id = v_user_id and e.user_id is distinct from e.subject_id
             and e.occurred_at >= p_after_at and (e.occurred_at, e.id) > (p_after_at, p_after_id)
           order by e.occurred_at, e.id
           limit p_limit
        )
        union all
        select * from public.archived_usage(
          v_user_id, p_limit, p_after_at, 'infinity', p_at => p_after_at, p_id => p_after_id, p_is_ascending => true
        )
        union all
        select * from public.archived_usage(
          null, p_limit, p_after_at, 'infinity', p_at => p_after_at, p_id => p_after_id, p_is_ascending => true,
          p_linked_to => v_user_id
        )
        order by occurred_at, id
        limit p_limit
      ) page
  );
end
$$;
grant execute on function public.export_usage_events(integer, timestamptz, uuid) to authenticated;
comment on function public.export_usage_events(integer, timestamptz, uuid) is
  'Returns the usage events recorded for the caller, oldest first; after (time, id) to page on.';
