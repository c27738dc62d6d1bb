create or replace function public.record_failed_admin_login(p_username text, p_session jsonb)
returns boolean
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes the audit log, which no API role may.
begin
  -- A name nobody has is not written down: people type their password there.
  perform private.audit(
    'system:login', p_session ->> 'request_id', 'fail_sign_in',
    (select 'admin:' || a.username from private.admins a where a.username = p_username), null, null, p_session ->> 'address'
  );
  return true;
end
$$;
grant execute on function public.record_failed_admin_login(text, jsonb) to service_role;
comment on function public.record_failed_admin_login(text, jsonb) is
  'Records a log-in with a wrong name or password, with its {request_id, address}; the limits bound how many there are.';
