create or replace function public.export_settings(
  p_limit integer, p_after_at timestamptz default '-infinity', p_after_id text default ''
)
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user();
begin
  return (
    select coalesce(jsonb_agg(to_jsonb(page) order by page.created_at, page.id), '[]')
      from (
        select e.name as id, e.value, e.deleted, e.updated_at, e.claimed_at, e.device, e.version, e.created_at
          from public.settings_entries e
         where e.user_id = v_user_id and (e.created_at, e.name) > (p_after_at, p_after_id)
         order by e.created_at, e.name
         limit p_limit
      ) page
  );
end
$$;
grant execute on function public.export_settings(integer, timestamptz, text) to authenticated;
comment on function public.export_settings(integer, timestamptz, text) is
  'Returns the caller''s settings by name (as id), those used first at the beginning; after (time, id) to page on.';
