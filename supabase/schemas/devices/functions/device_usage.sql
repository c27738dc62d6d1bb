create or replace function public.device_usage(
  p_device_id uuid, p_limit integer, p_from text, p_to text, p_time_zone text,
  p_before_at text default null, p_before_id uuid default null
)
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
begin
  perform public.require_device_reader(p_device_id);
  return public.list_usage(
    p_limit, p_from, p_to, p_time_zone, '{}', p_before_at, p_before_id, array[p_device_id]
  );
end
$$;
grant execute on function public.device_usage(uuid, integer, text, text, text, text, uuid) to authenticated;
comment on function public.device_usage(uuid, integer, text, text, text, text, uuid) is
  'Returns the usage events of one device to itself or its owner, as list_usage does. Raises what require_device_reader does, and RANGE_NOT_VALID.';
