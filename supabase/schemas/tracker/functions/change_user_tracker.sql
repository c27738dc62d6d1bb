create or replace function public.change_user_tracker(p_actor jsonb, p_user_id uuid, p_changes jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: counters, events and the audit log are written by no API role.
declare
  v_actor text := private.require_admin(p_actor, case when p_changes = '{}' then 'viewer' else 'operator' end);
begin
  perform from public.users u where u.id = p_user_id for no key update;
  if not found then
    raise sqlstate 'PT404' using message = 'USER_NOT_FOUND';
  end if;
  return private.apply_tracker_changes(p_user_id, p_changes, v_actor, p_actor ->> 'request_id');
end
$$;
grant execute on function public.change_user_tracker(jsonb, uuid, jsonb) to service_role;
comment on function public.change_user_tracker(jsonb, uuid, jsonb) is
  'Does for an admin with any account what change_tracker does with one''s own; raises USER_NOT_FOUND.';
