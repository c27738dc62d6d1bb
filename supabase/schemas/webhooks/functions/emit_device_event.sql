-- Triggers, so that also what is done by hand in Supabase Studio is told.
create or replace function private.emit_device_event()
returns trigger
language plpgsql set search_path = ''
as $$
begin
  perform private.emit_event(
    case tg_op when 'INSERT' then 'device.registered' else 'device.blocked' end,
    jsonb_build_object('device_id', new.id, 'user_id', new.user_id)
  );
  return null;
end
$$;
comment on function private.emit_device_event() is 'Trigger: tells that a device registered for the first time, or was blocked.';
