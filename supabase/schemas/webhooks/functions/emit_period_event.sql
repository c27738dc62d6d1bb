create or replace function private.emit_period_event()
returns trigger
language plpgsql set search_path = '' set timezone = 'UTC'
as $$
begin
  perform private.emit_event('period.reset', jsonb_build_object(
    'period', new.number, 'started_at', new.started_at, 'default_tokens', new.default_tokens
  ));
  return null;
end
$$;
comment on function private.emit_period_event() is 'Trigger: tells that a budget period began.';
