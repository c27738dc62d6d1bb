-- Reads balances, rollups and totals, never events.
create or replace function public.dashboard(
  p_actor jsonb, p_limit integer, p_sort text, p_query text default null, p_after_value text default null, p_after_id uuid default null
)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: reads every device, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  return jsonb_build_object(
    'budget', private.budget_json('device') || jsonb_build_object('users', private.budget_json('user')),
    'device_count', (select count(*) from public.devices where deleted_at is null),
    'devices', private.device_page(p_query, p_limit, p_sort, p_after_value, p_after_id),
    'usage', private.usage_by_day(30),
    'top_devices', private.top_subjects('device')
  );
end
$$;
grant execute on function public.dashboard(jsonb, integer, text, text, text, uuid) to service_role;
comment on function public.dashboard(jsonb, integer, text, text, text, uuid) is
  'Returns what the admin dashboard shows: pools, one page of devices, 30 days of usage, the ten devices that used most in this period.';
