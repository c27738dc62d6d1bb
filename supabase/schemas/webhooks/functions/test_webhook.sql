create or replace function public.test_webhook(p_actor jsonb, p_id uuid)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes deliveries, which no API role may.
declare
  v_delivery private.webhook_deliveries;
begin
  perform private.require_admin(p_actor);
  -- One that answered 410 is tried again, and gets events again.
  update private.webhook_endpoints e set disabled_at = null where e.id = p_id;
  if not found then
    raise sqlstate 'PT404' using message = 'WEBHOOK_NOT_FOUND';
  end if;
  insert into private.webhook_deliveries (event_id, endpoint_id, type, data)
  values (gen_random_uuid(), p_id, 'webhook.test', jsonb_build_object('webhook_id', p_id))
  returning * into v_delivery;
  perform private.audit_admin(p_actor, 'test_webhook', 'webhook:' || p_id);
  return private.webhook_delivery_json(v_delivery);
end
$$;
grant execute on function public.test_webhook(jsonb, uuid) to service_role;
comment on function public.test_webhook(jsonb, uuid) is
  'Sends an event webhook.test to one endpoint, which is enabled again where it was disabled. Returns the delivery; raises WEBHOOK_NOT_FOUND.';
