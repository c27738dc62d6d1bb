create or replace function public.remove_device(p_device uuid, p_why text)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
begin
  return private.drop_device(private.require_reason(p_why), private.require_hand_device(p_device));
end
$$;
comment on function public.remove_device(uuid, text) is
  'For the SQL editor: removes a device; its tokens die, what it did not use returns to the pool, its usage stays. Returns {device_id, returned}.';
