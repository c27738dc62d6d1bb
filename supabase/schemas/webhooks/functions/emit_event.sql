create or replace function private.emit_event(p_type text, p_data jsonb)
returns uuid
language sql volatile set search_path = ''
as $$
  with event as (select gen_random_uuid() as id),
  told as (
    insert into private.webhook_deliveries (event_id, endpoint_id, type, data)
    select event.id, e.id, p_type, p_data
      from private.webhook_endpoints e cross join event
     where e.disabled_at is null and p_type = any (e.events)
     order by e.id
  )
  select event.id from event
$$;
comment on function private.emit_event(text, jsonb) is
  'Writes an event down for each endpoint that gets its type, in the transaction of what caused it; returns the event''s id.';
