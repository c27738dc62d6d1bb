create or replace function private.take_second_factor(p_by jsonb, p_user_id uuid, p_notice text)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_target text;
  v_ended integer;
begin
  v_target := private.require_account(p_user_id);
  if not private.drop_user_second_factor(p_user_id) then
    raise sqlstate 'PT404' using message = 'SECOND_FACTOR_NOT_FOUND';
  end if;
  v_ended := private.end_sessions(p_user_id);
  perform private.audit_by(p_by, 'remove_user_second_factor', v_target, null, jsonb_build_object('ended', v_ended));
  perform private.queue_notice(p_user_id, (select u.email from public.users u where u.id = p_user_id), p_notice);
  return jsonb_build_object('removed', true, 'ended', v_ended);
end
$$;
comment on function private.take_second_factor(jsonb, uuid, text) is
  'Removes the second factor of somebody who lost it and ends their sessions, in the name of {name, …}; queues the sealed notice. Returns {removed, ended}; raises USER_NOT_FOUND, SECOND_FACTOR_NOT_FOUND.';
