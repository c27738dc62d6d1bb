create or replace function public.export_reservations(
  p_limit integer, p_after_at timestamptz default '-infinity', p_after_id uuid default '00000000-0000-0000-0000-000000000000'
)
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user();
begin
  return (
    select coalesce(jsonb_agg(to_jsonb(page) - 'subject_id' order by page.created_at, page.id), '[]')
      from (
        select r.* from public.reservations r
         where r.subject_id = v_user_id and (r.created_at, r.id) > (p_after_at, p_after_id)
         order by r.created_at, r.id
         limit p_limit
      ) page
  );
end
$$;
grant execute on function public.export_reservations(integer, timestamptz, uuid) to authenticated;
comment on function public.export_reservations(integer, timestamptz, uuid) is
  'Returns the caller''s holds, oldest first; after (time, id) to page on.';
