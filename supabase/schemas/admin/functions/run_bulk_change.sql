-- The server acts in a session of its own: it goes on when the admin signs out, and ends with what ends their other sessions.
create or replace function public.run_bulk_change(p_actor jsonb, p_id uuid)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes bulk changes and sessions, which no API role may.
declare
  v_session jsonb := jsonb_build_object(
    'lifetime_seconds', 86400, 'user_agent', 'bulk-change', 'address', p_actor ->> 'address'
  );
  v_run_as jsonb;
begin
  perform private.require_admin(p_actor);
  select c.run_as into v_run_as from private.bulk_changes c where c.id = p_id for update;
  if private.bulk_change_json(p_id) ->> 'state' in ('done', 'stopped')
     or exists (
       select from private.admin_sessions s
        where s.id = (v_run_as ->> 'session_id')::uuid and s.expires_at > now()
     ) then
    return private.bulk_change_json(p_id);
  end if;
  perform private.start_bulk_change(p_actor, p_id);
  v_session := private.open_admin_session(
    (p_actor ->> 'id')::uuid, v_session,
    (select s.second_factor from private.admin_sessions s where s.id = (p_actor ->> 'session_id')::uuid)
  );
  update private.bulk_changes c
     set run_as = p_actor || jsonb_build_object('session_id', v_session -> 'session_id')
   where c.id = p_id;
  return private.bulk_change_json(p_id);
end
$$;
grant execute on function public.run_bulk_change(jsonb, uuid) to service_role;
comment on function public.run_bulk_change(jsonb, uuid) is
  'Has the server do all that is left of a bulk change in the name of an admin, by carry_on_bulk_change; nothing where it does so already or none is left. Returns what bulk_change_json returns; raises BULK_CHANGE_NOT_FOUND.';
