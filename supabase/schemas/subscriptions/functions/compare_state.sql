-- An event's state is newer than the row's by its time; a fetched one where nothing was applied since before it was
-- fetched. Where it cannot be decided, the state is fetched (again).
create or replace function private.compare_state(p_row public.subscriptions, p_state jsonb, p_at timestamptz, p_version bigint)
returns text
language sql stable set search_path = ''
as $$
  select case
    when not p_state ? 'status' then 'refetch'
    when p_version <> p_row.version then 'refetch'
    -- The time of an event from the future says nothing, and must not keep those after it out.
    when p_version is null and (p_at > now() or p_row.state_at > now()) then 'refetch'
    -- Of two subscriptions of one person the row is about the one that runs, or else the one made last. When the other
    -- one's state was from is not kept, so the row changes over only to what was fetched.
    when p_row.stripe_subscription_id <> p_state ->> 'subscription_id' then case
      when p_state ->> 'tier' is not null
        and (private.is_running(p_state ->> 'status'), to_timestamp((p_state ->> 'created')::bigint), p_state ->> 'subscription_id')
          > (private.is_running(p_row.status), p_row.started_at, p_row.stripe_subscription_id)
        then case when p_version is null then 'refetch' else 'apply' end
      else 'keep'
    end
    when p_row.stripe_subscription_id is null and p_state ->> 'tier' is null then 'keep'
    when private.is_unchanged(p_row, p_state) then case when p_at > p_row.state_at then 'apply' else 'keep' end
    when p_version is not null or p_row.stripe_subscription_id is null or p_at > p_row.state_at then 'apply'
    when p_at < p_row.state_at then 'keep'
    else 'refetch'
  end
$$;
comment on function private.compare_state(public.subscriptions, jsonb, timestamptz, bigint) is
  'Returns what to do with a state of this time, or fetched when the row had this version: apply, keep (the row as it is) or refetch.';
