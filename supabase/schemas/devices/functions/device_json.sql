create or replace function private.device_json(p_device_id uuid)
returns jsonb
language sql stable set search_path = ''
as $$
  select private.balance_json(d.id) || jsonb_build_object(
    'name', d.name, 'blocked', d.blocked, 'registrations', d.registrations, 'token_version', d.token_version
  ) from public.devices d where d.id = p_device_id
$$;
comment on function private.device_json(uuid) is 'Returns a device with its balance as the admin API shows it.';
