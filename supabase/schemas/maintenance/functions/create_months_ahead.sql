-- Nobody waits for this: there are months ahead, so that it may just as well be done the next time.
create or replace function private.create_months_ahead()
returns void
language plpgsql volatile set search_path = '' set lock_timeout = '1s'
as $$
begin
  perform private.ensure_usage_partition(now() + make_interval(months => n)) from generate_series(0, 3) as n;
exception when lock_not_available then
  raise log 'months ahead are created the next time: somebody holds a lock on usage_events';
end
$$;
comment on function private.create_months_ahead() is 'Creates the partitions of the months to come, unless that would take longer than a moment.';
