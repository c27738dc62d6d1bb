-- The pool of devices is measured anew in each budget period, that of people when its size changes.
create or replace function private.warn_of_pool()
returns trigger
language plpgsql set search_path = ''
as $$
declare
  v_period integer := case new.subject_kind when 'device' then (select max(p.number) from public.periods p) else 1 end;
  v_threshold smallint;
  v_data jsonb;
begin
  if new.alert_period is distinct from v_period or new.alert_total is distinct from new.total then
    new.alert_period := v_period;
    new.alert_total := new.total;
    new.alerted := 0;
  end if;
  for v_threshold in
    select t.threshold from private.alert_settings s cross join unnest(s.pool_thresholds) as t(threshold)
     where t.threshold > new.alerted and new.allocated::numeric * 100 >= new.total::numeric * t.threshold
     order by t.threshold
  loop
    new.alerted := v_threshold;
    v_data := jsonb_build_object(
      'subject_kind', 'pool', 'pool', new.subject_kind, 'threshold', v_threshold, 'total', new.total,
      'allocated', new.allocated, 'remaining', greatest(new.total - new.allocated, 0)
    );
    perform private.emit_event('balance.threshold', v_data);
    perform private.raise_alert('balance.threshold', v_data);
  end loop;
  return new;
end
$$;
comment on function private.warn_of_pool() is 'Trigger: announces each threshold that what is handed out of a pool reaches.';
