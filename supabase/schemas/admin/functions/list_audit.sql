create or replace function public.list_audit(
  p_actor jsonb, p_limit integer, p_before bigint default null, p_target text default null, p_who text default null,
  p_action text default null, p_from timestamptz default null, p_to timestamptz default null
)
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
           and (p_who is null or a.actor = p_who) and (p_action is null or a.action = p_action)
           and (p_from is null or a.created_at >= p_from) and (p_to is null or a.created_at < p_to)
         order by a.id desc
         limit p_limit
      ) page
  );
end
$$;
grant execute on function public.list_audit(jsonb, integer, bigint, text, text, text, timestamptz, timestamptz) to service_role;
comment on function public.list_audit(jsonb, integer, bigint, text, text, text, timestamptz, timestamptz) is 'Returns the audit log, newest first; before an id to page on, of one target, actor or action, or between two times.';
