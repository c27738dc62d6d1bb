create or replace function public.list_webhooks(p_actor jsonb)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: reads endpoints, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  return (
    select jsonb_build_object(
             'webhooks', coalesce(jsonb_agg(private.webhook_endpoint_json(e) order by e.created_at, e.id), '[]')
           )
      from private.webhook_endpoints e
  );
end
$$;
grant execute on function public.list_webhooks(jsonb) to service_role;
comment on function public.list_webhooks(jsonb) is 'Returns {webhooks}: every endpoint, oldest first, without secrets.';
