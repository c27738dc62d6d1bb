create or replace function public.get_own_admin(p_actor jsonb)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: no API role may read admins.
begin
  perform private.require_admin(p_actor, null);
  return (
    select jsonb_build_object(
             'id', a.id, 'username', a.username, 'role', a.role, 'expires_at', s.expires_at,
             'second_factor', exists (
               select from private.admin_second_factors f where f.admin_id = a.id and f.confirmed_at is not null
             ),
             'second_factor_missing', (p_actor ->> 'second_factor_required')::boolean and not s.second_factor
           )
      from private.admin_sessions s join private.admins a on a.id = s.admin_id
     where s.id = (p_actor ->> 'session_id')::uuid
  );
end
$$;
grant execute on function public.get_own_admin(jsonb) to service_role;
comment on function public.get_own_admin(jsonb) is
  'Returns who the calling admin is: {id, username, role, second_factor, second_factor_missing, expires_at}.';
