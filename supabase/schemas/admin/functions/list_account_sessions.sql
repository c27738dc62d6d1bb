create or replace function public.list_account_sessions(
  p_actor jsonb, p_user_id uuid, p_limit integer, p_before_at text default null, p_before_id uuid default null
)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: reads everybody's sessions, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  perform private.account_json(p_user_id);
  return private.session_page(p_user_id, p_limit, p_before_at, p_before_id);
end
$$;
grant execute on function public.list_account_sessions(jsonb, uuid, integer, text, uuid) to service_role;
comment on function public.list_account_sessions(jsonb, uuid, integer, text, uuid) is
  'Returns where an account is signed in, newest first; before (time, id) to page on. Raises USER_NOT_FOUND.';
