-- The operator's command works on admins by name.
create or replace function public.manage_admin(
  p_command text, p_username text, p_password_hash text default null, p_role text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: no API role may read private.admins.
declare
  v_id uuid;
  v_changed boolean;
begin
  lock table private.admins in share row exclusive mode;
  select a.id into v_id from private.admins a where a.username = p_username;
  v_changed := case p_command when 'list' then false when 'create' then v_id is null else v_id is not null end;
  if not v_changed then
    null;
  elsif p_command = 'create' then
    insert into private.admins (username, password_hash, role)
    values (p_username, p_password_hash, coalesce(p_role, 'owner'));
  elsif p_command = 'remove' then
    delete from private.admins where id = v_id;
  else
    update private.admins
       set password_hash = coalesce(p_password_hash, password_hash), role = coalesce(p_role, role),
           version = version + 1, updated_at = now()
     where id = v_id;
    delete from private.admin_sessions where admin_id = v_id;
    if p_command = 'reset-2fa' then
      perform private.drop_second_factor(v_id);
    end if;
  end if;
  if v_changed and p_command <> 'create' then
    perform private.keep_an_owner();
  end if;
  if v_changed then
    perform private.audit(
      'system:command', null, replace(p_command, '-', '_') || '_admin', 'admin:' || p_username, null,
      case when p_role is not null then jsonb_build_object('role', p_role) end
    );
  end if;
  return jsonb_build_object(
    'changed', v_changed,
    'admins', (select coalesce(jsonb_agg(private.admin_json(a) order by a.username), '[]') from private.admins a)
  );
end
$$;
grant execute on function public.manage_admin(text, text, text, text) to service_role;
comment on function public.manage_admin(text, text, text, text) is
  'Runs the operator''s command: create, passwd, role, reset-2fa, remove or list. Returns {changed, admins}; raises LAST_OWNER.';
