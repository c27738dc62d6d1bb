create or replace function public.list_admin_sessions(p_actor jsonb)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: no API role may read sessions.
begin
  perform private.require_admin(p_actor, null);
  return (
    select coalesce(jsonb_agg(to_jsonb(page) order by page.created_at desc, page.id desc), '[]')
      from (
        select s.id, s.created_at, s.expires_at, s.user_agent, s.address, s.second_factor,
               s.id = (p_actor ->> 'session_id')::uuid as current
          from private.admin_sessions s
         where s.admin_id = (p_actor ->> 'id')::uuid and s.expires_at > now()
         order by s.created_at desc, s.id desc
         limit 200
      ) page
  );
end
$$;
grant execute on function public.list_admin_sessions(jsonb) to service_role;
comment on function public.list_admin_sessions(jsonb) is 'Returns the calling admin''s running sessions, newest first, 200 at most.';
