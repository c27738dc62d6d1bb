create or replace function private.audit(
  p_actor text, p_request_id text, p_action text, p_target text, p_before jsonb, p_after jsonb, p_address text default null
)
returns void
language sql volatile set search_path = ''
as $$
  insert into public.audit_log (actor, action, target, before, after, request_id, address)
  values (p_actor, p_action, p_target, p_before, p_after, p_request_id, left(p_address, 100))
$$;
comment on function private.audit(text, text, text, text, jsonb, jsonb, text) is 'Writes one line of the audit log.';
