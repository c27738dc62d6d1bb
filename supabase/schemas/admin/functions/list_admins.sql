create or replace function public.list_admins(p_actor jsonb)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: no API role may read private.admins.
begin
  perform private.require_admin(p_actor, 'owner');
  return (select coalesce(jsonb_agg(private.admin_json(a) order by a.username), '[]') from private.admins a);
end
$$;
grant execute on function public.list_admins(jsonb) to service_role;
comment on function public.list_admins(jsonb) is 'Returns all admins by name, for an owner.';
