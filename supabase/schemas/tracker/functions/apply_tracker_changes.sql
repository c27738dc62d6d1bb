create or replace function private.apply_tracker_changes(p_user_id uuid, p_changes jsonb, p_actor text, p_request_id text)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_before public.tracker_counters;
  v_after public.tracker_counters;
begin
  if p_changes = '{}' then
    select c.* into v_before from public.tracker_counters c where c.user_id = p_user_id;
    return private.tracker_json(v_before);
  end if;
  insert into public.tracker_counters (user_id) values (p_user_id) on conflict (user_id) do nothing;
  select c.* into v_before from public.tracker_counters c where c.user_id = p_user_id for update;
  update public.tracker_counters c
     set prompts = coalesce((p_changes ->> 'prompts')::integer, c.prompts),
         tokens = coalesce((p_changes ->> 'tokens')::bigint, c.tokens),
         enabled = coalesce((p_changes ->> 'enabled')::boolean, c.enabled),
         version = c.version + case
           when coalesce((p_changes ->> 'revoke')::boolean, false) or p_changes ->> 'enabled' = 'false' then 1
           else 0
         end,
         updated_at = now()
   where c.user_id = p_user_id
  returning * into v_after;
  if p_changes ? 'prompts' then
    perform private.replace_tracked(p_user_id, v_after.prompts::integer, v_after.tokens);
  end if;
  perform private.audit(
    p_actor, p_request_id, 'change_tracker', 'user:' || p_user_id,
    private.tracker_json(v_before) || jsonb_build_object('version', v_before.version),
    private.tracker_json(v_after) || jsonb_build_object('version', v_after.version)
  );
  return private.tracker_json(v_after);
end
$$;
comment on function private.apply_tracker_changes(uuid, jsonb, text, text) is
  'Changes an account''s counters and who may count, as change_tracker says, and writes it into the audit log. The account must be locked.';
