create or replace function public.change_tracker(p_caller jsonb, p_changes jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: counters, events and the audit log are written by no API role.
declare
  v_user_id uuid := private.lock_user(p_caller);
begin
  if p_changes <> '{}' then
    perform private.count_recorded_act(v_user_id);
  end if;
  return private.apply_tracker_changes(v_user_id, p_changes, 'user:' || v_user_id, null);
end
$$;
grant execute on function public.change_tracker(jsonb, jsonb) to service_role;
comment on function public.change_tracker(jsonb, jsonb) is
  'Changes the caller''s tracker: {prompts, tokens} replace what was counted, {enabled: false} ends all tracker tokens and makes no more, {revoke: true} ends them, {} only reads. Returns {prompts, tokens, enabled}; raises RATE_LIMITED.';
