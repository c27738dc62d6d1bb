create or replace function public.get_bulk_change(p_actor jsonb, p_id uuid)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: reads bulk changes, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  return private.bulk_change_json(p_id);
end
$$;
grant execute on function public.get_bulk_change(jsonb, uuid) to service_role;
comment on function public.get_bulk_change(jsonb, uuid) is
  'Returns how a bulk change stands, as bulk_change_json does; raises BULK_CHANGE_NOT_FOUND.';
