create or replace function public.list_sessions(
  p_caller jsonb, p_limit integer, p_before_at text default null, p_before_id uuid default null
)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: no API role may read sessions.
begin
  return private.session_page(
    private.require_user(p_caller), p_limit, p_before_at, p_before_id, (p_caller ->> 'session_id')::uuid
  );
end
$$;
grant execute on function public.list_sessions(jsonb, integer, text, uuid) to service_role;
comment on function public.list_sessions(jsonb, integer, text, uuid) is
  'Returns the account''s running sessions, newest first; before (time, id) to page on.';
