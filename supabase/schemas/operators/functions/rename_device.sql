create or replace function public.rename_device(p_device uuid, p_name text)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
begin
  if coalesce(length(btrim(p_name)), 0) not between 1 and 200 then
    raise exception 'A device''s name has 1 to 200 characters' using errcode = '22023';
  end if;
  return private.change_device(private.by_hand(), private.require_hand_device(p_device), p_name => btrim(p_name));
end
$$;
comment on function public.rename_device(uuid, text) is
  'For the SQL editor: renames a device, with an audit line. Returns the device.';
