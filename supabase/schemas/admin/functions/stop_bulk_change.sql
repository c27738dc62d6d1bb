create or replace function public.stop_bulk_change(p_actor jsonb, p_id uuid)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes bulk changes, which no API role may.
declare
  v_stopped jsonb;
begin
  perform private.require_admin(p_actor);
  -- Waits for the chunk that is being done: after the answer nothing changes any more.
  perform from private.bulk_changes c where c.id = p_id for update;
  v_stopped := private.bulk_change_json(p_id);
  if v_stopped ->> 'state' in ('done', 'stopped') then
    return v_stopped;
  end if;
  perform private.end_bulk_run(p_id);
  update private.bulk_changes c set stopped_at = now() where c.id = p_id;
  if v_stopped ->> 'state' = 'running' then
    perform private.audit_admin(
      p_actor, 'stop_bulk_change', 'bulk_change:' || p_id, null,
      jsonb_build_object('changed', v_stopped -> 'changed', 'left', v_stopped -> 'left')
    );
  end if;
  return private.bulk_change_json(p_id);
end
$$;
grant execute on function public.stop_bulk_change(jsonb, uuid) to service_role;
comment on function public.stop_bulk_change(jsonb, uuid) is
  'Gives up what is left of a bulk change; what was done stays. Returns what bulk_change_json returns; raises BULK_CHANGE_NOT_FOUND.';
