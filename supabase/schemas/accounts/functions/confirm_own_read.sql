create or replace function public.confirm_own_read()
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: no API role may read sessions, keys and other people's devices.
declare
  v_claims constant jsonb := auth.jwt();
begin
  if v_claims ? 'device_id' then
    perform public.require_device_reader((v_claims ->> 'device_id')::uuid);
  else
    perform public.require_current_user('usage:read');
  end if;
  return jsonb_build_object('position', private.wal_position());
end
$$;
grant execute on function public.confirm_own_read() to authenticated;
comment on function public.confirm_own_read() is
  'Returns {position} where the person or device of the request''s token may still read their own; raises what require_current_user and require_device_reader do. Asked on the primary before a replica that is as far as this position, or not much behind it, is read.';
