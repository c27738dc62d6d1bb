create or replace function public.verify_ledger(p_full boolean default false)
returns table (name text, ok boolean, checked bigint, discrepancies jsonb)
language plpgsql stable security definer set search_path = '' set statement_timeout = '15min'
  -- Compiling the many expressions costs more than it saves.
  set jit = off
as $$
-- Definer: reads every subject's rows, which no API role may. Stable: one snapshot for all checks.
begin
  return query
    select p.title, p.discrepancies = '[]', p.checked, p.discrepancies
      from (
        select * from private.prove_balances(not p_full)
        union all
        select * from private.prove_usage(not p_full)
        union all
        select * from private.prove_generations(not p_full)
        union all
        select * from private.prove_entries()
        union all
        select * from private.prove_seals(p_full)
        union all
        select * from private.prove_days(p_full)
        union all
        select * from private.prove_subjects(p_full)
      ) p
     order by p.place;
end
$$;
grant execute on function public.verify_ledger(boolean) to service_role;
comment on function public.verify_ledger(boolean) is
  'Recomputes every balance, hold, rollup, counter, generation and paid grant from the rows behind it; of months that are sealed only what changed since, unless p_full. One row per check; ok is false where discrepancies lists differences.';
