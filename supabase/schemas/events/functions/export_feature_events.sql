create or replace function public.export_feature_events(
  p_limit integer, p_after_at timestamptz default '-infinity', p_after_id uuid default '00000000-0000-0000-0000-000000000000'
)
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user();
begin
  return (
    select coalesce(jsonb_agg(to_jsonb(page) - 'user_id' order by page.occurred_at, page.id), '[]')
      from (
        select e.* from public.feature_events e
         where e.user_id = v_user_id and (e.occurred_at, e.id) > (p_after_at, p_after_id)
         order by e.occurred_at, e.id
         limit p_limit
      ) page
  );
end
$$;
grant execute on function public.export_feature_events(integer, timestamptz, uuid) to authenticated;
comment on function public.export_feature_events(integer, timestamptz, uuid) is
  'Returns the caller''s uses of features, oldest first; after (time, id) to page on.';
