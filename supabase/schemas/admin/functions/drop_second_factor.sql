create or replace function private.drop_second_factor(p_admin_id uuid)
returns void
language sql volatile set search_path = ''
as $$
  delete from private.admin_recovery_codes where admin_id = p_admin_id;
  delete from private.admin_second_factors where admin_id = p_admin_id;
$$;
comment on function private.drop_second_factor(uuid) is 'Removes the second factor of an admin with its recovery codes.';
