-- The operator's command works on admins by name.
create or replace function public.manage_admin(p_command text, p_username text, p_password_hash text default null)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: no API role may read private.admins.
declare
  v_changed integer := 0;
begin
  lock table private.admins in share row exclusive mode;
  if p_command = 'create' then
    insert into private.admins (username, password_hash) values (p_username, p_password_hash)
    on conflict (username) do nothing;
    get diagnostics v_changed = row_count;
  elsif p_command = 'passwd' then
    update private.admins set password_hash = p_password_hash, version = version + 1, updated_at = now()
     where username = p_username;
    get diagnostics v_changed = row_count;
  elsif p_command = 'remove' then
    delete from private.admins where username = p_username and (select count(*) from private.admins) > 1;
    get diagnostics v_changed = row_count;
  end if;
  if v_changed > 0 then
    perform private.audit('system:command', null, p_command || '_admin', p_username, null, null);
  end if;
  return jsonb_build_object(
    'changed', v_changed > 0,
    'admins', (
      select coalesce(jsonb_agg(jsonb_build_object('username', a.username, 'created_at', a.created_at) order by a.username), '[]')
        from private.admins a
    )
  );
end
$$;
grant execute on function public.manage_admin(text, text, text) to service_role;
comment on function public.manage_admin(text, text, text) is
  'Runs the operator''s command: create, passwd, remove (never the last one) or list. Returns {changed, admins}.';
