create or replace function public.create_admin(p_actor jsonb, p_username text, p_password_hash text, p_role text)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: no API role may write private.admins.
declare
  v_admin private.admins;
begin
  lock table private.admins in share row exclusive mode;
  perform private.require_admin(p_actor, 'owner');
  insert into private.admins (username, password_hash, role) values (p_username, p_password_hash, p_role)
  on conflict (username) do nothing
  returning * into v_admin;
  if v_admin.id is null then
    raise sqlstate 'PT409' using message = 'ADMIN_EXISTS';
  end if;
  perform private.audit_admin(p_actor, 'create_admin', 'admin:' || p_username, null, jsonb_build_object('role', p_role));
  return private.admin_json(v_admin);
end
$$;
grant execute on function public.create_admin(jsonb, text, text, text) to service_role;
comment on function public.create_admin(jsonb, text, text, text) is
  'Creates an admin, for an owner; returns them, raises ADMIN_EXISTS for a name that is taken.';
