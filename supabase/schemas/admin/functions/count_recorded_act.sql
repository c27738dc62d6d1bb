-- The audit log is append-only: whoever could fill it without end would bury what everybody else did.
create or replace function private.count_recorded_act(p_user_id uuid)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_wait integer := private.count_attempt('user:recorded', p_user_id::text, 100, interval '1 hour');
begin
  if v_wait is not null then
    raise sqlstate 'PT429' using message = 'RATE_LIMITED', detail = jsonb_build_object('retry_after', v_wait)::text;
  end if;
end
$$;
comment on function private.count_recorded_act(uuid) is
  'Counts what a person does as often as they like and the audit log records; raises RATE_LIMITED beyond 100 in an hour.';
