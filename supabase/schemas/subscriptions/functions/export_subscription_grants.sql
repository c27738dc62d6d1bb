create or replace function public.export_subscription_grants(
  p_limit integer, p_after_at timestamptz default '-infinity', p_after_id uuid default '00000000-0000-0000-0000-000000000000'
)
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user();
begin
  return (
    select coalesce(jsonb_agg(to_jsonb(page) - 'user_id' order by page.created_at, page.id), '[]')
      from (
        select g.* from public.subscription_grants g
         where g.user_id = v_user_id and (g.created_at, g.id) > (p_after_at, p_after_id)
         order by g.created_at, g.id
         limit p_limit
      ) page
  );
end
$$;
grant execute on function public.export_subscription_grants(integer, timestamptz, uuid) to authenticated;
comment on function public.export_subscription_grants(integer, timestamptz, uuid) is
  'Returns what the caller paid for and was granted, oldest first; after (time, id) to page on.';
