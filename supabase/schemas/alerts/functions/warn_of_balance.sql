-- Within the statement of the debit, under the balance's lock: each threshold is announced once a period, also where two
-- servers debit at once, and not at all where the debit is undone. A device's period is the budget's; a person's begins
-- with the first debit after tokens came in (alert_at is null then), and is measured from there.
create or replace function private.warn_of_balance()
returns trigger
language plpgsql set search_path = ''
as $$
declare
  v_thresholds smallint[];
  v_threshold smallint;
  v_given bigint;
begin
  if new.alert_at is null or new.alert_period <> new.period then
    new.alert_base := case new.subject_kind when 'user' then old.used else 0 end;
    new.alerted := 0;
    new.exhausted := false;
  end if;
  new.alert_period := new.period;
  new.alert_allocated := new.allocated;
  v_given := greatest(new.allocated - new.alert_base, 0);
  -- By its key: those who meter read no table whole, and Postgres would compile a plan that has to.
  select case new.subject_kind when 'user' then s.user_thresholds else s.device_thresholds end
    into v_thresholds from private.alert_settings s where s.id;

  foreach v_threshold in array v_thresholds loop
    continue when v_threshold <= new.alerted;
    -- The next one; looked at again when it is reached.
    new.alert_at := new.alert_base + ceil(v_given * v_threshold / 100.0);
    exit when new.used < new.alert_at;
    new.alerted := v_threshold;
    perform private.announce_balance('balance.threshold', new, v_threshold);
  end loop;
  if not new.exhausted and new.used >= new.allocated then
    new.exhausted := true;
    perform private.announce_balance('balance.exhausted', new);
  end if;
  if new.alerted >= coalesce(v_thresholds[cardinality(v_thresholds)], 0) then
    new.alert_at := case when new.exhausted then 9223372036854775807 else new.allocated end;
  end if;
  return new;
end
$$;
comment on function private.warn_of_balance() is
  'Trigger: announces each threshold a debit reaches, and the end of the balance, and works out the next.';
