create or replace function public.list_all_usage(
  p_actor jsonb, p_limit integer, p_from text, p_to text, p_time_zone text, p_filter jsonb default '{}',
  p_before_at text default null, p_before_id uuid default null, p_user_id uuid default null
)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: an admin may ask about everybody, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  return public.list_usage(
    p_limit, p_from, p_to, p_time_zone, p_filter, p_before_at, p_before_id, private.account_subjects(p_user_id)
  );
end
$$;
grant execute on function public.list_all_usage(jsonb, integer, text, text, text, jsonb, text, uuid, uuid) to service_role;
comment on function public.list_all_usage(jsonb, integer, text, text, text, jsonb, text, uuid, uuid) is
  'Runs list_usage for an admin: of everybody, or of one account with its devices.';
