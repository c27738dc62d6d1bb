create or replace function private.ensure_usage_partition(p_at timestamptz)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_name constant text := 'usage_events_' || to_char(p_at at time zone 'UTC', 'YYYY_MM');
  v_from timestamptz;
  v_to timestamptz;
begin
  -- May be out of date in one direction only: a month this session has not heard of yet is tried below.
  if to_regclass('private.' || v_name) is not null then
    return;
  end if;
  v_from := date_trunc('month', p_at, 'UTC');
  v_to := (v_from at time zone 'UTC' + interval '1 month') at time zone 'UTC';
  -- Two writers may meet at the turn of a month: the second waits until the first has committed or rolled back.
  perform pg_advisory_xact_lock(hashtext('private.ensure_usage_partition'));
  -- Creating is the second look. Looking again would not do: waiting for an advisory lock tells the catalogue cache
  -- nothing of what others committed meanwhile, and a transaction's snapshot may be older still.
  begin
    execute format('create table private.%I (like public.usage_events including all)', v_name);
  exception when duplicate_table then
    return;
  end;
  execute format('alter table private.%I enable row level security', v_name);
  perform private.guard_partition(v_name);
  execute format('comment on table private.%I is %L', v_name, 'Usage events of ' || to_char(v_from at time zone 'UTC', 'YYYY-MM') || '.');
  -- Attaching locks the parent less than creating a partition in place: writers go on.
  execute format(
    'alter table public.usage_events attach partition private.%I for values from (%L) to (%L)', v_name, v_from, v_to
  );
end
$$;
comment on function private.ensure_usage_partition(timestamptz) is
  'Creates the month''s partition of usage_events where it is missing.';
