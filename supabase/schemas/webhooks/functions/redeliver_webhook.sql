create or replace function public.redeliver_webhook(p_actor jsonb, p_id uuid, p_delivery_id bigint)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes deliveries, which no API role may.
declare
  v_delivery private.webhook_deliveries;
begin
  perform private.require_admin(p_actor);
  -- What is on its way already is only hurried, unless a server has it in its hands.
  update private.webhook_deliveries d
     set status = 'pending', attempts = case when d.status = 'pending' then d.attempts else 0 end,
         due_at = case when d.status = 'pending' and d.failure is null then d.due_at else now() end
   where d.id = p_delivery_id and d.endpoint_id = p_id
  returning * into v_delivery;
  if not found then
    raise sqlstate 'PT404' using message = 'WEBHOOK_DELIVERY_NOT_FOUND';
  end if;
  perform private.audit_admin(p_actor, 'redeliver_webhook', 'webhook:' || p_id);
  return private.webhook_delivery_json(v_delivery);
end
$$;
grant execute on function public.redeliver_webhook(jsonb, uuid, bigint) to service_role;
comment on function public.redeliver_webhook(jsonb, uuid, bigint) is
  'Sends an event again that was given up, or delivered, under the same id. Returns the delivery; raises WEBHOOK_DELIVERY_NOT_FOUND.';
