create or replace function public.delete_usage(p_caller jsonb, p_id uuid)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: events are append-only for every API role.
declare
  v_user_id uuid := private.require_user(p_caller, 'usage:write');
  v_event public.usage_events;
begin
  perform private.thaw_usage(v_user_id, private.usage_event_time(p_id));
  -- Only observed events have ids that say when they happened; what was debited has another and is not found here.
  delete from public.usage_events e
   where e.subject_id = v_user_id and e.occurred_at = private.usage_event_time(p_id) and e.id = p_id
     and e.source = 'extension' and e.cost = 0
  returning * into v_event;
  if v_event.id is null then
    raise sqlstate 'PT404' using message = 'USAGE_NOT_FOUND';
  end if;
  perform private.take_out_usage(v_event);
  return jsonb_build_object('id', p_id, 'deleted', true);
end
$$;
grant execute on function public.delete_usage(jsonb, uuid) to service_role;
comment on function public.delete_usage(jsonb, uuid) is
  'Deletes an observed event of the caller, in its rollups too. Returns {id, deleted}; raises USAGE_NOT_FOUND, also for what was debited.';
