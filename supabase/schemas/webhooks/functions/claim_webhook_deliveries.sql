-- A server that dies with a delivery in its hands leaves it due a minute later, which is longer than an attempt takes.
create or replace function public.claim_webhook_deliveries(p_limit integer)
returns jsonb
language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: reads and writes deliveries, which no API role may.
declare
  v_deliveries jsonb;
begin
  with due as (
    select d.id from private.webhook_deliveries d
     where d.id in (select n.id from private.next_webhook_deliveries() n where n.due_at <= now())
       and d.status = 'pending' and d.due_at <= now()
     order by d.due_at, d.id limit p_limit for update skip locked
  ), claimed as (
    update private.webhook_deliveries d
       set attempts = d.attempts + 1, attempted_at = now(), due_at = now() + interval '1 minute', failure = null
      from due where d.id = due.id
    returning d.*
  )
  select coalesce(jsonb_agg(jsonb_build_object(
           'id', c.id, 'event_id', c.event_id, 'type', c.type, 'occurred_at', c.occurred_at, 'data', c.data,
           'attempt', c.attempts, 'endpoint_id', e.id, 'url', e.url, 'sealed_secret', encode(e.sealed_secret, 'base64')
         ) order by c.id), '[]')
    into v_deliveries
    from claimed c join private.webhook_endpoints e on e.id = c.endpoint_id;
  return jsonb_build_object(
    'deliveries', v_deliveries,
    'next_seconds', (
      select greatest(ceil(extract(epoch from min(n.due_at) - now())), 0)::integer from private.next_webhook_deliveries() n
      -- Of nothing there is no least one, and greatest() would make 0 of it.
      having count(*) > 0
    )
  );
end
$$;
grant execute on function public.claim_webhook_deliveries(integer) to service_role;
comment on function public.claim_webhook_deliveries(integer) is
  'Hands out deliveries that are due to one server, for a minute. Returns {deliveries: [{id, event_id, type, occurred_at, data, attempt, endpoint_id, url, sealed_secret}], next_seconds: until the next one is due, or null}.';
