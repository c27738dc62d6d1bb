create or replace function private.require_subject(p_kind text, p_subject_id uuid)
returns void
language plpgsql stable set search_path = ''
as $$
begin
  if p_kind = 'device' and not exists (
    select from public.devices d where d.id = p_subject_id and d.deleted_at is null
  ) then
    raise sqlstate 'PT404' using message = 'DEVICE_NOT_FOUND';
  elsif p_kind = 'user' and not exists (select from public.users u where u.id = p_subject_id) then
    raise sqlstate 'PT404' using message = 'USER_NOT_FOUND';
  end if;
end
$$;
comment on function private.require_subject(text, uuid) is 'Raises DEVICE_NOT_FOUND or USER_NOT_FOUND where there is no such one.';
