create or replace function private.reset_devices(p_by jsonb, p_default_tokens bigint, p_force boolean)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_actor constant text := p_by ->> 'name';
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
    'period', private.close_period(v_actor, p_by ->> 'request_id', p_default_tokens),
    'devices', v_devices, 'default_tokens', p_default_tokens
  );
end
$$;
comment on function private.reset_devices(jsonb, bigint, boolean) is
  'Ends the budget period and gives every device the default, in the name of {name, …}. Returns {period, devices, default_tokens}; raises ALREADY_RESET, BUDGET_EXCEEDED.';
