create or replace function private.prune_oauth()
returns integer
language plpgsql volatile set search_path = ''
as $$
declare
  v_flows integer;
  v_codes integer;
begin
  delete from private.oauth_flows where expires_at < now();
  get diagnostics v_flows = row_count;
  delete from private.oauth_codes where expires_at < now();
  get diagnostics v_codes = row_count;
  return v_flows + v_codes;
end
$$;
comment on function private.prune_oauth() is 'Removes sign-ins and codes whose time is over; returns how many.';
