-- The caller has decided that a reset is due; the pool's lock makes it the only one. It is one step however many devices there
-- are: balances come into the new period one by one, see enter_period, and are at most one period behind.
create or replace function private.close_period(p_actor text, p_request_id text, p_default_tokens bigint)
returns integer
language plpgsql volatile set search_path = ''
as $$
declare
  v_closed integer;
begin
  perform private.enter_period(array(
    select b.subject_id from public.balances b
     where b.subject_kind = 'device' and b.period < (select max(p.number) from public.periods p)
  ));
  update public.periods set closed_at = now(), closed_by = p_actor where closed_at is null
  returning number into strict v_closed;
  insert into public.periods (number, default_tokens) values (v_closed + 1, p_default_tokens);
  update public.budgets p
     set allocated = p_default_tokens * (
           select count(*) from public.devices d join public.balances b on b.subject_id = d.id where d.deleted_at is null
         ),
         updated_at = now()
   where p.subject_kind = 'device';
  perform private.audit(
    p_actor, p_request_id, 'reset_monthly', 'period:' || v_closed,
    jsonb_build_object('period', v_closed), jsonb_build_object('period', v_closed + 1, 'default_tokens', p_default_tokens)
  );
  return v_closed + 1;
end
$$;
comment on function private.close_period(text, text, bigint) is
  'Closes the open period and begins the next, in which every device has the default. The caller holds the devices'' pool. Returns the new period''s number.';
