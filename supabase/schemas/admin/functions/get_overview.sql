-- Reads balances, rollups and totals, never events.
create or replace function public.get_overview(p_actor jsonb)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC' set jit = off
as $$
-- Definer: reads everybody's, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  return jsonb_build_object(
    'pools', jsonb_build_object('devices', private.budget_json('device'), 'users', private.budget_json('user')),
    'devices', (
      select jsonb_build_object(
               'count', count(*), 'blocked', count(*) filter (where d.blocked),
               'near_limit', count(*) filter (where b.remaining * 10 <= b.allocated)
             )
        from public.devices d join public.balances b on b.subject_id = d.id where d.deleted_at is null
    ),
    'people', (
      select jsonb_build_object(
               'count', count(*), 'suspended', count(*) filter (where u.suspended_at is not null),
               'near_limit', count(*) filter (where b.remaining * 10 <= b.allocated)
             )
        from public.users u left join public.balances b on b.subject_id = u.id
    ),
    'period', (
      select jsonb_build_object('number', p.number, 'started_at', p.started_at, 'default_tokens', p.default_tokens)
        from public.periods p order by p.number desc limit 1
    ),
    'ledger', (
      select jsonb_build_object(
               'checked_at', c.checked_at, 'milliseconds', c.milliseconds, 'discrepancies', c.discrepancies,
               'failing', to_jsonb(c.failing)
             )
        from private.ledger_checks c order by c.id desc limit 1
    ),
    'usage', private.usage_by_day(30),
    'top_devices', private.top_subjects('device'),
    'top_people', private.top_subjects('user'),
    'top_models', private.top_models(30)
  );
end
$$;
grant execute on function public.get_overview(jsonb) to service_role;
comment on function public.get_overview(jsonb) is
  'Returns what the console shows first: pools, counts of devices and people, the period, the last proof of the books, 30 days of usage, and who and what used most.';
