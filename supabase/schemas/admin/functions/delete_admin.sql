create or replace function public.delete_admin(p_actor jsonb, p_id uuid)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: no API role may write private.admins.
declare
  v_username text;
begin
  lock table private.admins in share row exclusive mode;
  perform private.require_admin(p_actor, 'owner');
  select a.username into v_username from private.admins a where a.id = p_id;
  if not found then
    raise sqlstate 'PT404' using message = 'ADMIN_NOT_FOUND';
  end if;
  perform private.audit_admin(p_actor, 'remove_admin', 'admin:' || v_username);
  delete from private.admins where id = p_id;
  perform private.keep_an_owner();
  return jsonb_build_object('id', p_id, 'deleted', true);
end
$$;
grant execute on function public.delete_admin(jsonb, uuid) to service_role;
comment on function public.delete_admin(jsonb, uuid) is
  'Removes an admin, for an owner; their tokens end. Returns {id, deleted}; raises ADMIN_NOT_FOUND, LAST_OWNER.';
