create or replace function public.list_invitations(
  p_actor jsonb, p_limit integer, p_before_at text default null, p_before_id uuid default null
)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: reads invitations, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  return (
    select coalesce(jsonb_agg(private.invitation_json(page) order by page.created_at desc, page.id desc), '[]')
      from (
        select i.* from private.invitations i
         where p_before_id is null or (i.created_at, i.id) < (p_before_at::timestamptz, p_before_id)
         order by i.created_at desc, i.id desc
         limit p_limit
      ) page
  );
exception
  -- The cursor comes from the caller.
  when data_exception then
    raise sqlstate 'PT400' using message = 'VALIDATION_FAILED';
end
$$;
grant execute on function public.list_invitations(jsonb, integer, text, uuid) to service_role;
comment on function public.list_invitations(jsonb, integer, text, uuid) is
  'Returns invitations, newest first; before (time, id) to page on.';
