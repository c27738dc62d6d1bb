create or replace function private.webhook_endpoint_json(p_endpoint private.webhook_endpoints)
returns jsonb
language sql stable set search_path = '' set timezone = 'UTC'
as $$
  select jsonb_build_object(
    'id', p_endpoint.id, 'url', p_endpoint.url, 'events', p_endpoint.events, 'description', p_endpoint.description,
    'created_by', p_endpoint.created_by, 'created_at', p_endpoint.created_at, 'disabled_at', p_endpoint.disabled_at,
    'pending', (
      select count(*) from private.webhook_deliveries d where d.endpoint_id = p_endpoint.id and d.status = 'pending'
    ),
    'failed', (
      select count(*) from private.webhook_deliveries d where d.endpoint_id = p_endpoint.id and d.status = 'failed'
    )
  )
$$;
comment on function private.webhook_endpoint_json(private.webhook_endpoints) is
  'Returns an endpoint as admins see it, without its secret, with how many of its deliveries wait or were given up.';
