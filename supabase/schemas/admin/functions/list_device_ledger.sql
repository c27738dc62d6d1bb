create or replace function public.list_device_ledger(
  p_actor jsonb, p_device_id uuid, p_limit integer, p_before_at text default null, p_before_id uuid default null
)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: reads everybody's ledger, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  perform private.require_subject('device', p_device_id);
  return private.ledger_page(p_device_id, p_limit, p_before_at, p_before_id);
end
$$;
grant execute on function public.list_device_ledger(jsonb, uuid, integer, text, uuid) to service_role;
comment on function public.list_device_ledger(jsonb, uuid, integer, text, uuid) is
  'Returns what changed the allocation of a device and who did it, newest first; before (time, id) to page on. Raises DEVICE_NOT_FOUND.';
