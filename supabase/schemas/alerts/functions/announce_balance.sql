create or replace function private.announce_balance(
  p_type text, p_balance public.balances, p_threshold smallint default null
)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_user_id uuid := case p_balance.subject_kind
    when 'user' then p_balance.subject_id
    else (select d.user_id from public.devices d where d.id = p_balance.subject_id)
  end;
  v_data jsonb := jsonb_strip_nulls(jsonb_build_object(
    'subject_kind', p_balance.subject_kind, 'subject_id', p_balance.subject_id, 'user_id', v_user_id,
    'threshold', p_threshold, 'allocated', p_balance.allocated, 'used', p_balance.used,
    'remaining', p_balance.allocated - p_balance.used - p_balance.reserved,
    'period', case p_balance.subject_kind when 'device' then p_balance.period end
  ));
begin
  perform private.emit_event(p_type, v_data);
  -- At the end one alert is enough.
  if p_type = 'balance.exhausted' or p_threshold < 100 then
    perform private.raise_alert(p_type, v_data, v_user_id);
  end if;
end
$$;
comment on function private.announce_balance(text, public.balances, smallint) is
  'Writes down, for webhooks, admins and mail, that a balance reached a threshold or its end.';
