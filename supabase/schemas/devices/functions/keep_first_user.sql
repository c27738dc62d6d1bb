create or replace function private.keep_first_user()
returns trigger
language plpgsql set search_path = ''
as $$
begin
  new.first_user_id := coalesce(new.first_user_id, new.user_id);
  return new;
end
$$;
comment on function private.keep_first_user() is 'Trigger: notes the first account a device is linked to, however that is done.';
