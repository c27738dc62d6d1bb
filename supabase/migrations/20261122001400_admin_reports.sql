-- Admin, reports: the dashboard, the audit log and the proof of the books. Everything is read from balances,
-- rollups and totals, never from events.

create or replace function private.usage_between(p_from timestamptz, p_to timestamptz)
returns jsonb
language sql stable set search_path = ''
as $$
  select jsonb_build_object(
    'events', coalesce(sum(events), 0), 'prompts', coalesce(sum(prompts), 0),
    'total_tokens', coalesce(sum(total_tokens), 0), 'cost', coalesce(sum(cost), 0)
  ) from public.usage_totals where bucket >= p_from and bucket < p_to
$$;
revoke all on function private.usage_between(timestamptz, timestamptz) from public, anon, authenticated, service_role;
comment on function private.usage_between(timestamptz, timestamptz) is 'Usage of everybody between two quarter hours.';

create or replace function private.usage_by_day(p_days integer)
returns jsonb
language sql stable set search_path = ''
as $$
  select jsonb_agg(
           private.usage_between(day, day + interval '1 day') || jsonb_build_object('day', to_char(day at time zone 'UTC', 'YYYY-MM-DD'))
           order by day
         )
    from generate_series(
      date_trunc('day', now(), 'UTC') - make_interval(days => p_days - 1), date_trunc('day', now(), 'UTC'), interval '1 day'
    ) as day
$$;
revoke all on function private.usage_by_day(integer) from public, anon, authenticated, service_role;
comment on function private.usage_by_day(integer) is 'Usage of everybody per day (UTC), today last, days without any included.';

create or replace function private.device_models_this_month(p_device_id uuid)
returns jsonb
language sql stable set search_path = ''
as $$
  select coalesce(jsonb_agg(to_jsonb(m) order by m.cost desc, m.model), '[]')
    from (
      select r.model, sum(r.events)::bigint as events, sum(r.prompts)::bigint as prompts, sum(r.cost)::bigint as cost
        from public.usage_rollups r
       where r.subject_id = p_device_id and r.bucket >= date_trunc('month', now(), 'UTC')
       group by r.model
    ) m
$$;
revoke all on function private.device_models_this_month(uuid) from public, anon, authenticated, service_role;
comment on function private.device_models_this_month(uuid) is 'A device''s usage in the current month (UTC) by model.';

-- One page of devices, sorted by one of a closed list of columns.
create or replace function private.device_page(
  p_query text, p_limit integer, p_sort text, p_after_value text, p_after_id uuid
)
returns jsonb
language plpgsql stable set search_path = ''
as $$
declare
  v_column text := case ltrim(p_sort, '-')
    when 'created' then 'd.created_at'
    when 'name' then 'd.name'
    when 'allocated' then 'b.allocated'
    when 'used' then 'b.used'
    when 'remaining' then '(b.allocated - b.used - b.reserved)'
    when 'last_seen' then 'd.last_registered_at'
  end;
  v_type text := case ltrim(p_sort, '-')
    when 'name' then 'text' when 'created' then 'timestamptz' when 'last_seen' then 'timestamptz' else 'bigint'
  end;
  v_direction text := case when p_sort like '-%' then 'desc' else 'asc' end;
  v_page jsonb;
begin
  execute format(
    $query$
      select coalesce(jsonb_agg(
               jsonb_build_object(
                 'id', p.id, 'name', p.name, 'user_email', p.user_email, 'allocated', p.allocated, 'used', p.used,
                 'reserved', p.reserved, 'remaining', p.allocated - p.used - p.reserved, 'blocked', p.blocked,
                 'registrations', p.registrations, 'created_at', p.created_at,
                 'last_seen', greatest(p.last_registered_at, (
                   select max(r.bucket) from public.usage_rollups r where r.subject_id = p.id
                 )),
                 'usage_this_month', private.device_models_this_month(p.id),
                 'sort_value', p.sort_value::text
               ) order by p.sort_value %2$s, p.id %2$s
             ), '[]')
        from (
          select d.id, d.name, u.email as user_email, b.allocated, b.used, b.reserved, d.blocked, d.registrations,
                 d.created_at, d.last_registered_at, %1$s as sort_value
            from public.devices d
            join public.balances b on b.subject_id = d.id
            left join public.users u on u.id = d.user_id
           where d.deleted_at is null
             and ($1 is null or lower(d.name) like $1 or u.email like $1 or d.id::text like $1)
             and ($2 is null or (%1$s, d.id) %3$s ($2::%4$s, $3))
           order by %1$s %2$s, d.id %2$s
           limit $4
        ) p
    $query$,
    v_column, v_direction, case v_direction when 'desc' then '<' else '>' end, v_type
  )
  into v_page
  using '%' || replace(replace(replace(lower(p_query), '\', '\\'), '%', '\%'), '_', '\_') || '%',
        p_after_value, p_after_id, p_limit;
  return v_page;
exception
  -- The value to go on from is the caller's word.
  when data_exception then
    raise sqlstate 'PT400' using message = 'VALIDATION_FAILED';
end
$$;
revoke all on function private.device_page(text, integer, text, text, uuid) from public, anon, authenticated, service_role;
comment on function private.device_page(text, integer, text, text, uuid) is
  'Devices with balances and this month''s usage, one page; sort_value and id of the last row page on.';

create or replace function public.dashboard(
  p_actor jsonb, p_limit integer, p_sort text, p_query text default null, p_after_value text default null, p_after_id uuid default null
)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: reads every device, which no API role may.
begin
  perform private.require_admin(p_actor);
  return jsonb_build_object(
    'budget', private.budget_json('device') || jsonb_build_object('users', private.budget_json('user')),
    'device_count', (select count(*) from public.devices where deleted_at is null),
    'devices', private.device_page(p_query, p_limit, p_sort, p_after_value, p_after_id),
    'usage', private.usage_by_day(30),
    'top_devices', (
      select coalesce(jsonb_agg(to_jsonb(t) order by t.used desc, t.id), '[]')
        from (
          select d.id, d.name, b.used, b.allocated
            from (
              -- Sorted before the join, as sorting numbers is cheap; more than ten, as some may be deleted.
              select subject_id, used, allocated from public.balances
               where subject_kind = 'device' and used > 0 order by used desc, subject_id limit 1000
            ) b
            join public.devices d on d.id = b.subject_id
           where d.deleted_at is null
           order by b.used desc, d.id
           limit 10
        ) t
    )
  );
end
$$;
revoke all on function public.dashboard(jsonb, integer, text, text, text, uuid) from public, anon, authenticated, service_role;
grant execute on function public.dashboard(jsonb, integer, text, text, text, uuid) to service_role;
comment on function public.dashboard(jsonb, integer, text, text, text, uuid) is
  'What the admin dashboard shows: pools, one page of devices, 30 days of usage, the ten devices that used most in this period.';

create or replace function public.list_audit(p_actor jsonb, p_limit integer, p_before bigint default null, p_target text default null)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: audit_log is open to no API role.
begin
  perform private.require_admin(p_actor);
  return (
    select coalesce(jsonb_agg(to_jsonb(page) order by page.id desc), '[]')
      from (
        select a.* from public.audit_log a
         where (p_before is null or a.id < p_before) and (p_target is null or a.target = p_target)
         order by a.id desc
         limit p_limit
      ) page
  );
end
$$;
revoke all on function public.list_audit(jsonb, integer, bigint, text) from public, anon, authenticated, service_role;
grant execute on function public.list_audit(jsonb, integer, bigint, text) to service_role;
comment on function public.list_audit(jsonb, integer, bigint, text) is 'The audit log, newest first; before an id to page on, a target to follow one thing.';

create or replace function public.verify_ledger_as(p_actor jsonb)
returns jsonb
language plpgsql stable security definer set search_path = '' set statement_timeout = '15min'
as $$
-- Definer: verify_ledger reads every row.
begin
  perform private.require_admin(p_actor);
  return (
    select jsonb_build_object('ok', bool_and(v.ok), 'checks', jsonb_agg(to_jsonb(v))) from public.verify_ledger() v
  );
end
$$;
revoke all on function public.verify_ledger_as(jsonb) from public, anon, authenticated, service_role;
grant execute on function public.verify_ledger_as(jsonb) to service_role;
comment on function public.verify_ledger_as(jsonb) is 'verify_ledger for an admin: {ok, checks: [{name, ok, checked, discrepancies}]}.';

-- What admins look at in Supabase Studio. Invoker's rights and no grants: these are for the dashboard's own role.
create or replace view public.device_overview with (security_invoker = true) as
  select d.id, d.name, u.email as user_email, b.allocated, b.used, b.reserved,
         b.allocated - b.used - b.reserved as remaining, d.blocked, d.registrations, d.last_registered_at, d.created_at
    from public.devices d
    join public.balances b on b.subject_id = d.id
    left join public.users u on u.id = d.user_id
   where d.deleted_at is null;
create or replace view public.user_overview with (security_invoker = true) as
  select u.id, u.email, u.name, b.allocated, b.used, b.reserved, b.allocated - b.used - b.reserved as remaining,
         (select count(*) from public.devices d where d.user_id = u.id and d.deleted_at is null) as devices, u.created_at
    from public.users u
    left join public.balances b on b.subject_id = u.id;
create or replace view public.usage_by_day with (security_invoker = true) as
  select (bucket at time zone 'UTC')::date as day, sum(events) as events, sum(prompts) as prompts,
         sum(total_tokens) as total_tokens, sum(cost) as cost
    from public.usage_totals
   group by 1;
create or replace view public.usage_by_model with (security_invoker = true) as
  select date_trunc('month', bucket, 'UTC')::date as month, provider, model, source,
         sum(events) as events, sum(prompts) as prompts, sum(total_tokens) as total_tokens, sum(cost) as cost
    from public.usage_rollups
   group by 1, 2, 3, 4;
do $$
declare
  v_view text;
begin
  foreach v_view in array array['device_overview', 'user_overview', 'usage_by_day', 'usage_by_model'] loop
    execute format('revoke all on public.%I from anon, authenticated, service_role', v_view);
  end loop;
end
$$;
comment on view public.device_overview is 'Devices with their balance and the account they are linked to.';
comment on view public.user_overview is 'Accounts with their balance and number of devices.';
comment on view public.usage_by_day is 'Usage of everybody per day (UTC).';
comment on view public.usage_by_model is 'Usage of everybody per month, provider, model and source.';
comment on column public.device_overview.id is 'The device''s id.';
comment on column public.device_overview.name is 'Its name.';
comment on column public.device_overview.user_email is 'The account it is linked to.';
comment on column public.device_overview.allocated is 'Tokens granted.';
comment on column public.device_overview.used is 'Tokens used in this period.';
comment on column public.device_overview.reserved is 'Tokens held.';
comment on column public.device_overview.remaining is 'Tokens left.';
comment on column public.device_overview.blocked is 'Whether it is blocked.';
comment on column public.device_overview.registrations is 'How often it registered.';
comment on column public.device_overview.last_registered_at is 'When it registered last.';
comment on column public.device_overview.created_at is 'When it registered first.';
comment on column public.user_overview.id is 'The account''s id.';
comment on column public.user_overview.email is 'Its e-mail address.';
comment on column public.user_overview.name is 'Its name.';
comment on column public.user_overview.allocated is 'Tokens granted.';
comment on column public.user_overview.used is 'Tokens used.';
comment on column public.user_overview.reserved is 'Tokens held.';
comment on column public.user_overview.remaining is 'Tokens left.';
comment on column public.user_overview.devices is 'Devices linked to it.';
comment on column public.user_overview.created_at is 'When it was created.';
comment on column public.usage_by_day.day is 'The day (UTC).';
comment on column public.usage_by_day.events is 'Number of events.';
comment on column public.usage_by_day.prompts is 'Sum of prompts.';
comment on column public.usage_by_day.total_tokens is 'Sum of language-model tokens.';
comment on column public.usage_by_day.cost is 'Sum of what was debited.';
comment on column public.usage_by_model.month is 'First day of the month (UTC).';
comment on column public.usage_by_model.provider is 'The AI provider.';
comment on column public.usage_by_model.model is 'The model.';
comment on column public.usage_by_model.source is 'The door the events came through.';
comment on column public.usage_by_model.events is 'Number of events.';
comment on column public.usage_by_model.prompts is 'Sum of prompts.';
comment on column public.usage_by_model.total_tokens is 'Sum of language-model tokens.';
comment on column public.usage_by_model.cost is 'Sum of what was debited.';
