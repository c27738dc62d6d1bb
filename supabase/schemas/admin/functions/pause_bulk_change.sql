create or replace function public.pause_bulk_change(p_actor jsonb, p_id uuid)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes bulk changes and sessions, which no API role may.
begin
  perform private.require_admin(p_actor);
  -- Waits for the chunk that is being done: after the answer nothing changes any more.
  perform from private.bulk_changes c where c.id = p_id for update;
  perform private.end_bulk_run(p_id);
  return private.bulk_change_json(p_id);
end
$$;
grant execute on function public.pause_bulk_change(jsonb, uuid) to service_role;
comment on function public.pause_bulk_change(jsonb, uuid) is
  'Has the server leave what is left of a bulk change until somebody continues it. Returns what bulk_change_json returns; raises BULK_CHANGE_NOT_FOUND.';
