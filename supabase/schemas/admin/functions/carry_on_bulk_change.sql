-- Any number of servers may call it: each does the next hundred of another change, or nothing.
create or replace function public.carry_on_bulk_change()
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: changes devices, accounts and balances, which no API role may.
declare
  v_id uuid;
  v_run_as jsonb;
begin
  -- At random, so that one that fails again and again does not keep the others.
  select c.id, c.run_as into v_id, v_run_as
    from private.bulk_changes c where c.run_as is not null order by random() limit 1 for update skip locked;
  if v_id is null then
    return jsonb_build_object('id', null, 'runs', false);
  end if;
  begin
    perform private.require_admin(v_run_as);
  exception
    -- The admin was removed or may not act any more, or ended the session: whoever continues it does so in their own name.
    when sqlstate 'PT401' or sqlstate 'PT403' then
      perform private.end_bulk_run(v_id);
      return jsonb_build_object('id', v_id, 'runs', false);
  end;
  perform private.do_bulk_chunk(v_run_as, v_id);
  if not exists (select from private.bulk_chunks k where k.change_id = v_id and k.outcome is null) then
    perform private.end_bulk_run(v_id);
  end if;
  return jsonb_build_object(
    'id', v_id, 'runs', (select c.run_as is not null from private.bulk_changes c where c.id = v_id)
  );
end
$$;
grant execute on function public.carry_on_bulk_change() to service_role;
comment on function public.carry_on_bulk_change() is
  'Does the next hundred of a bulk change that the server does by itself, in the name of the admin who had it do so; pauses it where that admin may not act any more. Returns {id, runs}: which, null for none, and whether it goes on.';
