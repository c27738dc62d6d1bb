create or replace function public.export_settings_versions(
  p_limit integer, p_after_at timestamptz default '-infinity', p_after_id text default '0'
)
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user();
begin
  return (
    select coalesce(jsonb_agg(to_jsonb(page) order by page.created_at, page.id::bigint), '[]')
      from (
        select v.version::text as id, v.settings, v.action, v.device, v.created_at
          from public.settings_versions v
         where v.user_id = v_user_id and (v.created_at, v.version) > (p_after_at, p_after_id::bigint)
         order by v.created_at, v.version
         limit p_limit
      ) page
  );
end
$$;
grant execute on function public.export_settings_versions(integer, timestamptz, text) to authenticated;
comment on function public.export_settings_versions(integer, timestamptz, text) is
  'Returns the versions kept of the caller''s settings (as id), oldest first; after (time, id) to page on.';
