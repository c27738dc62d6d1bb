create or replace function public.create_webhook(
  p_actor jsonb, p_url text, p_events text[], p_secret text, p_description text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes endpoints, which no API role may.
declare
  v_actor text := private.require_admin(p_actor, 'owner');
  v_endpoint private.webhook_endpoints;
begin
  -- Each event costs its cause a row an endpoint.
  perform pg_advisory_xact_lock(hashtext('public.create_webhook'));
  if (select count(*) from private.webhook_endpoints) >= 20 then
    raise sqlstate 'PT409' using message = 'WEBHOOK_LIMIT';
  end if;
  insert into private.webhook_endpoints (url, events, description, sealed_secret, created_by)
  values (p_url, p_events, p_description, decode(p_secret, 'base64'), v_actor)
  returning * into v_endpoint;
  perform private.audit_admin(
    p_actor, 'create_webhook', 'webhook:' || v_endpoint.id, null, jsonb_build_object('url', p_url, 'events', p_events)
  );
  return private.webhook_endpoint_json(v_endpoint);
end
$$;
grant execute on function public.create_webhook(jsonb, text, text[], text, text) to service_role;
comment on function public.create_webhook(jsonb, text, text[], text, text) is
  'Keeps an endpoint with its sealed secret (base64), for an owner. Returns it; raises WEBHOOK_LIMIT beyond 20.';
