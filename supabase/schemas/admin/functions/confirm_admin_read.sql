create or replace function public.confirm_admin_read(p_actor jsonb)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: no API role may read admins and their sessions.
begin
  perform private.require_admin(p_actor, 'viewer');
  return jsonb_build_object('position', private.wal_position());
end
$$;
grant execute on function public.confirm_admin_read(jsonb) to service_role;
comment on function public.confirm_admin_read(jsonb) is
  'Returns {position} where the admin may still read everybody''s; raises what require_admin does. Asked on the primary before a replica is read, as confirm_own_read is.';
