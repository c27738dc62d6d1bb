create or replace function private.hold_usage_horizon(p_items jsonb, p_retention_months integer)
returns timestamptz
language plpgsql volatile set search_path = '' set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_horizon timestamptz := date_trunc('month', now(), 'UTC');
  v_oldest constant timestamptz := timestamptz 'epoch' + interval '1 millisecond' * (
    select min((i ->> 'timestamp_ms')::bigint) from jsonb_array_elements(p_items) i
  );
begin
  -- Nearly always: the running month is always kept.
  if v_oldest >= v_horizon then
    return v_horizon;
  end if;
  v_horizon := private.usage_horizon(p_retention_months);
  if v_oldest < v_horizon then
    -- No month is dropped meanwhile, so that none is brought back. What is not dropped yet still takes events, as the
    -- rollups of a month are proved from them as long as it is there.
    perform pg_advisory_xact_lock_shared(hashtext('public.maintain'));
    select least(private.usage_horizon(p_retention_months), min(p.lower_bound)) into v_horizon
      from private.usage_partitions() p;
  end if;
  return v_horizon;
end
$$;
comment on function private.hold_usage_horizon(jsonb, integer) is
  'Returns from when on these observed uses are kept as events; where one is older, no month is dropped until the transaction ends.';
