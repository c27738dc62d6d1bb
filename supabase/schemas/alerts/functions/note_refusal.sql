-- Balances often end a little above nothing: with less left than the next request needs.
create or replace function private.note_refusal(p_subject_id uuid, p_needed bigint)
returns void
language plpgsql volatile set search_path = '' set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_balance public.balances;
begin
  update public.balances b
     set exhausted = true, alert_at = 0, alert_period = b.period, alert_allocated = b.allocated,
         alerted = case when b.alert_at is null or b.alert_period <> b.period then 0 else b.alerted end,
         alert_base = case
           when b.alert_at is not null and b.alert_period = b.period then b.alert_base
           when b.subject_kind = 'user' then b.used
           else 0
         end
   where b.subject_id = p_subject_id and b.allocated > 0 and b.allocated - b.used < p_needed
     and (b.exhausted is not true or b.alert_at is null or b.alert_period <> b.period)
  returning b.* into v_balance;
  if found then
    perform private.announce_balance('balance.exhausted', v_balance);
  end if;
end
$$;
comment on function private.note_refusal(uuid, bigint) is
  'Announces, once a period, that a balance has less left than the smallest request of its kind needs, holds aside. The balance must be locked by the caller.';
