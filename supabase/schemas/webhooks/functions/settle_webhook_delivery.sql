-- An outcome counts only for the attempt that is the latest: another server may have taken the delivery over meanwhile.
create or replace function public.settle_webhook_delivery(
  p_id bigint, p_attempt integer, p_outcome text, p_status integer default null, p_failure text default null,
  p_wait_seconds integer default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes deliveries and endpoints, which no API role may.
declare
  -- 5 s, 30 s, 5 min, 30 min, 2 h, 5 h, 10 h, 10 h: given up after 28 hours.
  v_waits constant integer[] := '{5, 30, 300, 1800, 7200, 18000, 36000, 36000}';
  v_endpoint_id uuid;
  v_wait integer;
begin
  if p_outcome = 'released' then
    update private.webhook_deliveries d set due_at = now(), attempts = d.attempts - 1
     where d.id = p_id and d.attempts = p_attempt and d.status = 'pending';
    return jsonb_build_object('settled', found);
  end if;
  v_wait := v_waits[p_attempt];
  update private.webhook_deliveries d
     set status = case
           when p_outcome = 'delivered' then 'delivered'
           when p_outcome = 'gone' or v_wait is null then 'failed'
           else 'pending'
         end,
         due_at = now() + greatest(v_wait * (0.9 + random() / 5), least(coalesce(p_wait_seconds, 0), 3600)) * interval '1 second',
         response_status = p_status, failure = left(p_failure, 100)
   where d.id = p_id and d.attempts = p_attempt and d.status = 'pending'
  returning d.endpoint_id into v_endpoint_id;
  if p_outcome = 'gone' then
    update private.webhook_endpoints e set disabled_at = now() where e.id = v_endpoint_id;
  end if;
  return jsonb_build_object('settled', v_endpoint_id is not null);
end
$$;
grant execute on function public.settle_webhook_delivery(bigint, integer, text, integer, text, integer) to service_role;
comment on function public.settle_webhook_delivery(bigint, integer, text, integer, text, integer) is
  'Ends an attempt: delivered, failed (tried again later and later, nine times in all), gone (the endpoint is disabled) or released (due at once). Returns {settled}: whether the attempt was still the latest.';
