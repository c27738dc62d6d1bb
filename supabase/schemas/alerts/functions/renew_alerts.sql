-- Some at a time, so that debits of all others go on.
create or replace function public.renew_alerts(p_limit integer default 1000)
returns integer
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes balances and the settings, which no API role may.
declare
  v_after uuid;
  v_subjects uuid[];
begin
  select s.renewing_after into v_after from private.alert_settings s where s.renewing_after is not null for update;
  if not found then
    return 0;
  end if;
  select array_agg(b.subject_id order by b.subject_id) into v_subjects
    from (
      select b.subject_id from public.balances b where b.subject_id > v_after order by b.subject_id limit p_limit for update
    ) b;
  update public.balances b set alert_at = 0 where b.subject_id = any (v_subjects) and b.alert_at > 0;
  update private.alert_settings s
     set renewing_after = case when cardinality(v_subjects) = p_limit then v_subjects[p_limit] end
   where s.id;
  return coalesce(cardinality(v_subjects), 0);
end
$$;
grant execute on function public.renew_alerts(integer) to service_role;
comment on function public.renew_alerts(integer) is
  'After a change of thresholds, has that many more balances look at them with their next debit; returns how many, 0 when all do.';
