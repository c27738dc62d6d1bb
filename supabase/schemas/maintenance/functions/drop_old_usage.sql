-- Drops the months that lie entirely before the horizon; what they debited stays in the books.
create or replace function private.drop_old_usage(p_horizon timestamptz)
returns integer
language plpgsql volatile set search_path = ''
as $$
declare
  v_partition text;
  v_dropped integer := 0;
begin
  for v_partition in
    select p.name from private.usage_partitions() p
     where (p.lower_bound at time zone 'UTC' + interval '1 month') at time zone 'UTC' <= p_horizon
     order by p.name
  loop
    execute format(
      $query$
        insert into private.retired_usage as u (subject_id, period, cost)
        select subject_id, period, sum(cost) from private.%I where cost > 0 group by subject_id, period
        on conflict (subject_id, period) do update set cost = u.cost + excluded.cost
      $query$, v_partition
    );
    execute format('drop table private.%I', v_partition);
    v_dropped := v_dropped + 1;
  end loop;
  if v_dropped > 0 then
    delete from private.rollup_names n
     where n.day < (select min(p.lower_bound) at time zone 'UTC' from private.usage_partitions() p);
  end if;
  return v_dropped;
end
$$;
comment on function private.drop_old_usage(timestamptz) is 'Drops whole months of usage events before a time; returns how many. Rollups stay.';
