create or replace function private.audit_by(
  p_by jsonb, p_action text, p_target text, p_before jsonb default null, p_after jsonb default null
)
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  perform private.audit(
    p_by ->> 'name', p_by ->> 'request_id', p_action, p_target, p_before,
    case when p_by ? 'why' then coalesce(p_after, '{}') || jsonb_build_object('why', p_by -> 'why') else p_after end,
    p_by ->> 'address'
  );
end
$$;
comment on function private.audit_by(jsonb, text, text, jsonb, jsonb) is
  'Writes what somebody {name, request_id, address, why} did into the audit log: an admin as require_admin_by returns them, or who writes SQL by hand.';
