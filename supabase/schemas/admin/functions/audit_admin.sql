create or replace function private.audit_admin(
  p_actor jsonb, p_action text, p_target text, p_before jsonb default null, p_after jsonb default null
)
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  perform private.audit(
    'admin:' || (select a.username from private.admins a where a.id = (p_actor ->> 'id')::uuid),
    p_actor ->> 'request_id', p_action, p_target, p_before, p_after, p_actor ->> 'address'
  );
end
$$;
comment on function private.audit_admin(jsonb, text, text, jsonb, jsonb) is
  'Writes what an admin {id, request_id, address} did into the audit log.';
