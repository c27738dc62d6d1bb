create or replace function public.summarize_all_usage(
  p_actor jsonb, p_from text, p_to text, p_time_zone text, p_group_by text[], p_user_id uuid default null,
  p_filter jsonb default '{}', p_top integer default null
)
returns json
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: an admin may ask about everybody, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  return public.summarize_usage(p_from, p_to, p_time_zone, p_group_by, private.account_subjects(p_user_id), p_filter, p_top);
end
$$;
grant execute on function public.summarize_all_usage(jsonb, text, text, text, text[], uuid, jsonb, integer) to service_role;
comment on function public.summarize_all_usage(jsonb, text, text, text, text[], uuid, jsonb, integer) is
  'Runs summarize_usage for an admin: of everybody, or of one account with its devices.';
