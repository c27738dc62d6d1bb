create or replace function public.delete_webhook(p_actor jsonb, p_id uuid)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes endpoints, which no API role may.
declare
  v_url text;
begin
  perform private.require_admin(p_actor, 'owner');
  delete from private.webhook_endpoints e where e.id = p_id returning e.url into v_url;
  if not found then
    raise sqlstate 'PT404' using message = 'WEBHOOK_NOT_FOUND';
  end if;
  perform private.audit_admin(p_actor, 'delete_webhook', 'webhook:' || p_id, jsonb_build_object('url', v_url));
  return jsonb_build_object('deleted', true);
end
$$;
grant execute on function public.delete_webhook(jsonb, uuid) to service_role;
comment on function public.delete_webhook(jsonb, uuid) is
  'Removes an endpoint with all that waits for it, for an owner. Returns {deleted}; raises WEBHOOK_NOT_FOUND.';
