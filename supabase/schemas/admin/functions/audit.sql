create or replace function private.audit(
  p_actor text, p_request_id text, p_action text, p_target text, p_before jsonb, p_after jsonb
)
returns void
language sql volatile set search_path = ''
as $$
  insert into public.audit_log (actor, action, target, before, after, request_id)
  values (p_actor, p_action, p_target, p_before, p_after, p_request_id)
$$;
comment on function private.audit(text, text, text, text, jsonb, jsonb) is 'Writes one line of the audit log.';
