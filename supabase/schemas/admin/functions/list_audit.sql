create or replace function public.list_audit(p_actor jsonb, p_limit integer, p_before bigint default null, p_target text default null)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: no API role may read audit_log.
begin
  perform private.require_admin(p_actor, 'viewer');
  return (
    select coalesce(jsonb_agg(to_jsonb(page) order by page.id desc), '[]')
      from (
        select a.* from public.audit_log a
         where (p_before is null or a.id < p_before) and (p_target is null or a.target = p_target)
         order by a.id desc
         limit p_limit
      ) page
  );
end
$$;
grant execute on function public.list_audit(jsonb, integer, bigint, text) to service_role;
comment on function public.list_audit(jsonb, integer, bigint, text) is 'Returns the audit log, newest first; before an id to page on, a target to follow one thing.';
