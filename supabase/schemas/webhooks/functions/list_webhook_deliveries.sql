create or replace function public.list_webhook_deliveries(
  p_actor jsonb, p_id uuid, p_limit integer, p_status text default null, p_before bigint default null
)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: reads deliveries, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  if not exists (select from private.webhook_endpoints e where e.id = p_id) then
    raise sqlstate 'PT404' using message = 'WEBHOOK_NOT_FOUND';
  end if;
  return (
    select coalesce(jsonb_agg(private.webhook_delivery_json(page) order by page.id desc), '[]')
      from (
        select d.* from private.webhook_deliveries d
         where d.endpoint_id = p_id and (p_status is null or d.status = p_status) and (p_before is null or d.id < p_before)
         order by d.id desc
         limit p_limit
      ) page
  );
end
$$;
grant execute on function public.list_webhook_deliveries(jsonb, uuid, integer, text, bigint) to service_role;
comment on function public.list_webhook_deliveries(jsonb, uuid, integer, text, bigint) is
  'Returns what was sent to an endpoint or waits to be, newest first, of one status where that is given; before an id to page on. Raises WEBHOOK_NOT_FOUND.';
