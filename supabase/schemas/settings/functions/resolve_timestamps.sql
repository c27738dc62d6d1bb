create or replace function private.resolve_timestamps(p_user_id uuid, p_device text, p_changes jsonb)
returns table (name text, value jsonb, updated_at bigint, claimed_at bigint)
language plpgsql volatile set search_path = ''
as $$
declare
  v_now bigint := private.epoch_ms();
begin
  return query
    with claimed as materialized (
      select c.key as name, c.value -> 'value' as value, (c.value ->> 'updated_at')::bigint as claimed_at
        from jsonb_each(p_changes) c
    ),
    dated as materialized (
      -- While a device's clock is ahead, its changes keep the order it made them in, however late one of them comes.
      select c.name, c.value, least(c.claimed_at, v_now, (
               select min(k.updated_at) from private.future_changes k
                where k.user_id = p_user_id and k.name = c.name and k.device = p_device
                  and (k.claimed_at = c.claimed_at or (k.claimed_at > c.claimed_at and c.claimed_at > v_now))
             )) as updated_at, c.claimed_at
        from claimed c
    ),
    remembered as (
      insert into private.future_changes (user_id, name, device, claimed_at, updated_at)
      select p_user_id, d.name, p_device, d.claimed_at, d.updated_at from dated d where d.updated_at < d.claimed_at
      on conflict do nothing
    )
    select d.name, d.value, d.updated_at, d.claimed_at from dated d;
  delete from private.future_changes k
   where k.user_id = p_user_id and k.id <= (
     select o.id from private.future_changes o where o.user_id = p_user_id order by o.id desc offset 2000 limit 1
   );
end
$$;
comment on function private.resolve_timestamps(uuid, text, jsonb) is
  'Returns changes {name: {value | deleted, updated_at}} with the time that counts: what the device claims, at most when the change first came.';
