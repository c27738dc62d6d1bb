create or replace function private.prune_features(p_retention_months integer)
returns integer
language plpgsql volatile set search_path = ''
as $$
declare
  v_pruned integer;
begin
  delete from public.feature_events e
   where e.occurred_at < (date_trunc('month', now() at time zone 'UTC') - make_interval(months => p_retention_months))
           at time zone 'UTC';
  get diagnostics v_pruned = row_count;
  return v_pruned;
end
$$;
comment on function private.prune_features(integer) is
  'Deletes feature events older than what is kept; returns how many. Rollups stay.';
