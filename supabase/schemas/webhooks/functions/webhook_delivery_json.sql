create or replace function private.webhook_delivery_json(p_delivery private.webhook_deliveries)
returns jsonb
language sql stable set search_path = '' set timezone = 'UTC'
as $$
  select jsonb_build_object(
    'id', p_delivery.id, 'event_id', p_delivery.event_id, 'type', p_delivery.type, 'data', p_delivery.data,
    'occurred_at', p_delivery.occurred_at, 'status', p_delivery.status, 'attempts', p_delivery.attempts,
    'next_attempt_at', case when p_delivery.status = 'pending' then p_delivery.due_at end,
    'attempted_at', p_delivery.attempted_at, 'response_status', p_delivery.response_status, 'failure', p_delivery.failure
  )
$$;
comment on function private.webhook_delivery_json(private.webhook_deliveries) is 'Returns a delivery as admins see it.';
