-- Once a month, by whoever comes first; a pool too small for everybody's default is shared out evenly.
create or replace function private.reset_when_due(p_default_tokens bigint)
returns boolean
language plpgsql volatile set search_path = ''
as $$
declare
  v_total bigint;
  v_devices bigint;
begin
  -- Nearly always not; the second look is the one that counts.
  if exists (
    select from public.periods p
     where p.closed_at is null and date_trunc('month', p.started_at, 'UTC') >= date_trunc('month', now(), 'UTC')
  ) then
    return false;
  end if;
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
comment on function private.reset_when_due(bigint) is 'Resets where the open period began in an earlier month (UTC).';
