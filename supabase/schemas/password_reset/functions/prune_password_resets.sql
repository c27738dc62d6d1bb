create or replace function private.prune_password_resets()
returns integer
language plpgsql volatile set search_path = ''
as $$
declare
  v_pruned integer;
begin
  delete from private.password_resets where expires_at <= now();
  get diagnostics v_pruned = row_count;
  return v_pruned;
end
$$;
comment on function private.prune_password_resets() is 'For maintenance: removes links that have ended; returns how many.';
