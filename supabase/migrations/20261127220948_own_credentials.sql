-- Owners change their own password and second factor where a proof of it is asked for, not as they do for others.

set check_function_bodies = off;

create or replace function public.update_admin(
  p_actor jsonb, p_id uuid, p_role text default null, p_password_hash text default null,
  p_reset_second_factor boolean default false
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: no API role may write private.admins.
declare
  v_before private.admins;
  v_admin private.admins;
begin
  -- Of two owners who demote each other at once, the second finds itself without the right.
  lock table private.admins in share row exclusive mode;
  perform private.require_admin(p_actor, 'owner');
  -- One's own password and second factor need a proof of it: a stolen token alone must not get past them.
  if p_id = (p_actor ->> 'id')::uuid and (p_password_hash is not null or p_reset_second_factor) then
    raise sqlstate 'PT409' using message = 'OWN_CREDENTIALS';
  end if;
  select * into v_before from private.admins where id = p_id;
  if not found then
    raise sqlstate 'PT404' using message = 'ADMIN_NOT_FOUND';
  end if;
  update private.admins
     set role = coalesce(p_role, role), password_hash = coalesce(p_password_hash, password_hash),
         version = version + 1, updated_at = now()
   where id = p_id
  returning * into v_admin;
  perform private.keep_an_owner();
  -- Tokens say the role, and whoever needs a new password or second factor may not be the only one who has the old.
  delete from private.admin_sessions where admin_id = p_id;
  if p_reset_second_factor then
    perform private.drop_second_factor(p_id);
  end if;
  perform private.audit_admin(
    p_actor, 'update_admin', 'admin:' || v_admin.username, jsonb_build_object('role', v_before.role),
    jsonb_build_object(
      'role', v_admin.role, 'password_set', p_password_hash is not null, 'second_factor_reset', p_reset_second_factor
    )
  );
  return private.admin_json(v_admin);
end
$$;
grant execute on function public.update_admin(jsonb, uuid, text, text, boolean) to service_role;
comment on function public.update_admin(jsonb, uuid, text, text, boolean) is
  'Sets an admin''s role or password, or removes their second factor, for an owner, and ends their sessions. Returns them; raises ADMIN_NOT_FOUND, LAST_OWNER, and OWN_CREDENTIALS for the password or second factor of the owner who asks.';

reset check_function_bodies;

-- Notes the SHA-256 of the text above.
select private.record_migration('20261127220948', '25ceab6a04519baac1b58edf5e2887bd3bf94bc1da906f58efe63203ec7d602a');
