create or replace function public.list_devices(
  p_actor jsonb, p_limit integer, p_sort text, p_query text default null, p_filter text default null,
  p_after_value text default null, p_after_id uuid default null
)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC' set jit = off
as $$
-- Definer: reads every device, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  return jsonb_build_object(
    'count', private.count_matches('device', p_query, p_filter),
    'devices', private.device_page(p_query, p_limit, p_sort, p_after_value, p_after_id, p_filter)
  );
end
$$;
grant execute on function public.list_devices(jsonb, integer, text, text, text, text, uuid) to service_role;
comment on function public.list_devices(jsonb, integer, text, text, text, text, uuid) is
  'Returns devices for an admin: {count, devices}, one page of those that match a query and a filter; sort_value and id of the last row page on.';
