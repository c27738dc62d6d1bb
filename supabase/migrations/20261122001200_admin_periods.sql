-- Admin, periods: the monthly reset is one atomic step from one budget period to the next.

create table if not exists public.period_balances (
  period integer not null references public.periods (number),
  subject_id uuid not null,
  allocated bigint not null check (allocated >= 0),
  used bigint not null check (used >= 0),
  primary key (period, subject_id)
);
alter table public.period_balances enable row level security;
revoke all on table public.period_balances from anon, authenticated, service_role;
comment on table public.period_balances is 'What each device had and used in a closed budget period.';
comment on column public.period_balances.period is 'The closed period.';
comment on column public.period_balances.subject_id is 'The device.';
comment on column public.period_balances.allocated is 'Its allocation at the end of the period.';
comment on column public.period_balances.used is 'What it used in the period.';

-- The caller has decided that a reset is due; the pool's lock makes it the only one.
create or replace function private.close_period(p_actor text, p_request_id text, p_default_tokens bigint)
returns integer
language plpgsql volatile set search_path = ''
as $$
declare
  v_closed integer;
begin
  perform from public.balances b where b.subject_kind = 'device' order by b.subject_id for update;
  update public.periods set closed_at = now(), closed_by = p_actor where closed_at is null
  returning number into strict v_closed;
  insert into public.periods (number, default_tokens) values (v_closed + 1, p_default_tokens);

  -- Holds end with their period; usage that comes in for them is debited from the new one.
  update public.reservations r set status = 'expired', closed_at = now()
    from public.balances b
   where b.subject_id = r.subject_id and b.subject_kind = 'device' and r.status = 'held';
  insert into public.period_balances (period, subject_id, allocated, used)
  select v_closed, b.subject_id, b.allocated, b.used from public.balances b
   where b.subject_kind = 'device' and (b.allocated > 0 or b.used > 0);

  with target as (
    select b.subject_id, b.allocated as before, case when d.deleted_at is null then p_default_tokens else 0 end as after
      from public.balances b join public.devices d on d.id = b.subject_id
  ), entries as (
    insert into public.ledger_entries (subject_id, kind, amount, period, actor, reference)
    select subject_id, 'reset', after - before, v_closed + 1, p_actor, 'period ' || v_closed + 1
      from target where after <> before
  )
  update public.balances b
     set allocated = target.after, used = 0, reserved = 0, period = v_closed + 1, updated_at = now()
    from target where b.subject_id = target.subject_id;

  update public.budgets p
     set allocated = (select coalesce(sum(b.allocated), 0) from public.balances b where b.subject_kind = 'device'),
         updated_at = now()
   where p.subject_kind = 'device';
  perform private.audit(
    p_actor, p_request_id, 'reset_monthly', 'period:' || v_closed,
    jsonb_build_object('period', v_closed), jsonb_build_object('period', v_closed + 1, 'default_tokens', p_default_tokens)
  );
  return v_closed + 1;
end
$$;
revoke all on function private.close_period(text, text, bigint) from public, anon, authenticated, service_role;
comment on function private.close_period(text, text, bigint) is
  'Closes the open period, keeps its history and gives every device the default. The caller holds the devices'' pool. Answers the new period''s number.';

create or replace function public.reset_monthly(p_actor jsonb, p_default_tokens bigint, p_force boolean default false)
returns jsonb
language plpgsql volatile security definer set search_path = '' set statement_timeout = '15min'
as $$
-- Definer: writes balances, periods and the ledger, which no API role may.
declare
  v_actor text := private.require_admin(p_actor);
  v_total bigint;
  v_devices bigint;
begin
  select total into strict v_total from public.budgets where subject_kind = 'device' for update;
  if not p_force and exists (
    select from public.periods p where date_trunc('month', p.closed_at, 'UTC') = date_trunc('month', now(), 'UTC')
  ) then
    raise sqlstate 'PT409' using message = 'ALREADY_RESET';
  end if;
  select count(*) into v_devices from public.devices where deleted_at is null;
  if v_devices * p_default_tokens > v_total then
    raise sqlstate 'PT403' using message = 'BUDGET_EXCEEDED',
      detail = jsonb_build_object('requested', v_devices * p_default_tokens, 'remaining', v_total)::text;
  end if;
  return jsonb_build_object(
    'period', private.close_period(v_actor, p_actor ->> 'request_id', p_default_tokens),
    'devices', v_devices, 'default_tokens', p_default_tokens
  );
end
$$;
revoke all on function public.reset_monthly(jsonb, bigint, boolean) from public, anon, authenticated, service_role;
grant execute on function public.reset_monthly(jsonb, bigint, boolean) to service_role;
comment on function public.reset_monthly(jsonb, bigint, boolean) is
  'Ends the budget period and gives every device the default. Answers {period, devices, default_tokens}; raises ALREADY_RESET for a second time in a month without force, BUDGET_EXCEEDED.';

-- Once a month, by whoever comes first; a pool too small for everybody's default is shared out evenly.
create or replace function private.reset_when_due(p_default_tokens bigint)
returns boolean
language plpgsql volatile set search_path = ''
as $$
declare
  v_total bigint;
  v_devices bigint;
begin
  select total into strict v_total from public.budgets where subject_kind = 'device' for update;
  if not exists (
    select from public.periods p
     where p.closed_at is null and date_trunc('month', p.started_at, 'UTC') < date_trunc('month', now(), 'UTC')
  ) then
    return false;
  end if;
  select count(*) into v_devices from public.devices where deleted_at is null;
  perform private.close_period(
    'system:monthly', null, least(p_default_tokens, coalesce(v_total / nullif(v_devices, 0), p_default_tokens))
  );
  return true;
end
$$;
revoke all on function private.reset_when_due(bigint) from public, anon, authenticated, service_role;
comment on function private.reset_when_due(bigint) is 'Resets where the open period began in an earlier month (UTC).';

create or replace function public.list_periods(p_actor jsonb, p_limit integer, p_before integer default null)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: reads every device's history, which no API role may.
begin
  perform private.require_admin(p_actor);
  return (
    select coalesce(jsonb_agg(to_jsonb(page) order by page.number desc), '[]')
      from (
        select p.number, p.started_at, p.closed_at, p.closed_by, p.default_tokens,
               coalesce(h.devices, 0) as devices, coalesce(h.allocated, 0) as allocated, coalesce(h.used, 0) as used
          from public.periods p
          left join lateral (
            select count(*) as devices, sum(b.allocated)::bigint as allocated, sum(b.used)::bigint as used
              from (
                select allocated, used from public.period_balances where period = p.number
                union all
                select allocated, used from public.balances where period = p.number and subject_kind = 'device' and p.closed_at is null
              ) b
          ) h on true
         where p_before is null or p.number < p_before
         order by p.number desc
         limit p_limit
      ) page
  );
end
$$;
revoke all on function public.list_periods(jsonb, integer, integer) from public, anon, authenticated, service_role;
grant execute on function public.list_periods(jsonb, integer, integer) to service_role;
comment on function public.list_periods(jsonb, integer, integer) is 'Budget periods, newest first, with the sums of their devices; before a number to page on.';

create or replace function public.list_period_devices(p_actor jsonb, p_period integer, p_limit integer, p_after uuid default null)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: reads every device's history, which no API role may.
begin
  perform private.require_admin(p_actor);
  return (
    select coalesce(jsonb_agg(to_jsonb(page) order by page.device_id), '[]')
      from (
        select b.subject_id as device_id, d.name, b.allocated, b.used
          from public.period_balances b join public.devices d on d.id = b.subject_id
         where b.period = p_period and (p_after is null or b.subject_id > p_after)
         order by b.subject_id
         limit p_limit
      ) page
  );
end
$$;
revoke all on function public.list_period_devices(jsonb, integer, integer, uuid) from public, anon, authenticated, service_role;
grant execute on function public.list_period_devices(jsonb, integer, integer, uuid) to service_role;
comment on function public.list_period_devices(jsonb, integer, integer, uuid) is 'What each device had and used in a closed period, by id; after an id to page on.';
