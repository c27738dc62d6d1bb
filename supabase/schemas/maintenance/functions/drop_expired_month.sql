-- Dropping a partition needs its parent for itself, if only for a moment, and whoever comes after waits behind it. So it gives
-- up at once where somebody reads, and is tried again: each month in a call, and thus a transaction, of its own.
create or replace function public.drop_expired_month(p_retention_months integer)
returns jsonb
language plpgsql volatile security definer set search_path = '' set statement_timeout = '15min' set lock_timeout = '500ms'
as $$
-- Definer: drops partitions, which no API role may.
declare
  v_horizon timestamptz := private.usage_horizon(p_retention_months);
  v_month record;
begin
  select p.name, p.lower_bound, to_char(p.lower_bound at time zone 'UTC', 'YYYY-MM') as label into v_month
    from private.usage_partitions() p
   where (p.lower_bound at time zone 'UTC' + interval '1 month') at time zone 'UTC' <= v_horizon
   order by p.lower_bound limit 1;
  if v_month.name is null then
    return jsonb_build_object('month', null, 'dropped', false);
  end if;
  -- What is too late for a month waits, and is only counted then.
  if not pg_try_advisory_xact_lock(hashtext('public.maintain'))
    or not pg_try_advisory_xact_lock(hashtext('public.archive_month')) or exists (
    select from pg_catalog.pg_locks l
     where l.relation = to_regclass('private.' || v_month.name) and l.pid <> pg_backend_pid()
       and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = current_database())
  ) then
    return jsonb_build_object('month', v_month.label, 'dropped', false);
  end if;
  -- Whoever is about to thaw something of it waits, and finds it gone.
  perform pg_advisory_xact_lock(hashtext('private.archive'));
  perform private.retire_month(v_month.lower_bound);
  execute format('drop table private.%I', v_month.name);
  return jsonb_build_object('month', v_month.label, 'dropped', true);
exception when lock_not_available then
  return jsonb_build_object('month', v_month.label, 'dropped', false);
end
$$;
grant execute on function public.drop_expired_month(integer) to service_role;
comment on function public.drop_expired_month(integer) is
  'Drops the oldest month of usage events that is older than is kept; rollups stay, and what it debited stays in the books. Returns {month, dropped}: no month where none is left to drop, dropped false where somebody is reading and it has to be tried again.';
