create or replace function private.lock_tracker_counters(p_users uuid[])
returns void
language plpgsql volatile set search_path = '' set plan_cache_mode = 'force_generic_plan'
as $$
begin
  -- Counters are made and then locked, both in id order, so concurrent calls cannot deadlock.
  if exists (
    select from unnest(p_users) as u(id)
     where (select true from public.tracker_counters c where c.user_id = u.id limit 1) is null
  ) then
    insert into public.tracker_counters (user_id)
    select u.id from public.users u where u.id = any (p_users) order by u.id
    on conflict (user_id) do nothing;
  end if;
  perform from public.tracker_counters c where c.user_id = any (p_users) order by c.user_id for update;
end
$$;
comment on function private.lock_tracker_counters(uuid[]) is
  'Locks the counters of accounts, and makes them where an account has none yet.';
