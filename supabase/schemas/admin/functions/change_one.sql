create or replace function private.change_one(p_actor jsonb, p_kind text, p_id uuid, p_change jsonb)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_action text := p_kind || ' ' || (p_change ->> 'action');
begin
  return case v_action
    when 'device block' then public.update_device(p_actor, p_id, p_blocked => true)
    when 'device unblock' then public.update_device(p_actor, p_id, p_blocked => false)
    when 'device rotate' then public.update_device(p_actor, p_id, p_rotate => true)
    when 'device remove' then public.delete_device(p_actor, p_id)
    when 'device allocate' then public.allocate(p_actor, p_kind, p_id, (p_change ->> 'tokens')::bigint)
    when 'user suspend' then public.suspend_account(p_actor, p_id, true)
    when 'user unsuspend' then public.suspend_account(p_actor, p_id, false)
    when 'user end_sessions' then public.end_account_sessions(p_actor, p_id, (p_change ->> 'api_keys')::boolean)
    when 'user plan' then public.set_account_plan(p_actor, p_id, p_change ->> 'tier')
    when 'user allocate' then public.allocate(p_actor, p_kind, p_id, (p_change ->> 'tokens')::bigint)
  end;
end
$$;
comment on function private.change_one(jsonb, text, uuid, jsonb) is
  'Does to one device or account what change_many is asked to do to each; returns the answer of the act, or raises what it raises.';
