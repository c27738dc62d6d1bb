-- Counts one attempt in a window; returns the seconds to wait where the limit is passed, or null.
create or replace function private.count_attempt(p_scope text, p_key text, p_limit integer, p_window interval)
returns integer
language plpgsql volatile set search_path = ''
as $$
declare
  v_counter private.login_attempts;
begin
  insert into private.login_attempts as c (scope, key, attempts, window_ends_at)
  values (p_scope, p_key, 1, now() + p_window)
  on conflict (scope, key) do update
    set attempts = case when c.window_ends_at <= now() then 1 else c.attempts + 1 end,
        window_ends_at = case when c.window_ends_at <= now() then now() + p_window else c.window_ends_at end
  returning * into v_counter;
  return case
    when v_counter.attempts > p_limit then ceil(extract(epoch from v_counter.window_ends_at - now()))::integer
  end;
end
$$;
comment on function private.count_attempt(text, text, integer, interval) is
  'Counts an attempt; returns null, or after how many seconds to try again.';
