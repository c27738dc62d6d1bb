create or replace function public.list_sessions(
  p_caller jsonb, p_limit integer, p_before_at text default null, p_before_id uuid default null
)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: no API role may read sessions.
declare
  v_user_id uuid := private.require_user(p_caller);
begin
  return (
    select coalesce(jsonb_agg(to_jsonb(page) order by page.created_at desc, page.id desc), '[]')
      from (
        select s.id, s.created_at, s.last_used_at, s.expires_at, s.user_agent, s.address,
               s.id is not distinct from (p_caller ->> 'session_id')::uuid as current
          from private.sessions s
         where s.user_id = v_user_id and s.expires_at > now()
           and (p_before_id is null or (s.created_at, s.id) < (p_before_at::timestamptz, p_before_id))
         order by s.created_at desc, s.id desc
         limit p_limit
      ) page
  );
exception
  -- The cursor comes from the caller.
  when data_exception then
    raise sqlstate 'PT400' using message = 'VALIDATION_FAILED';
end
$$;
grant execute on function public.list_sessions(jsonb, integer, text, uuid) to service_role;
comment on function public.list_sessions(jsonb, integer, text, uuid) is
  'Returns the account''s running sessions, newest first; before (time, id) to page on.';
