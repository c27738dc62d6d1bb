create or replace function private.prove_month(p_month timestamptz)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_until timestamptz := (p_month at time zone 'UTC' + interval '1 month') at time zone 'UTC';
  v_seal record;
  v_rollups record;
  v_generations record;
  v_discrepancies jsonb;
begin
  select s.checked, s.discrepancies into v_seal from private.prove_seal(p_month) s;
  select c.checked, c.discrepancies into v_rollups from private.compare_rollups(p_month, v_until) c
   where exists (select from private.usage_months() m where m.month = p_month and m.has_events);
  select c.checked, c.discrepancies into v_generations from private.compare_generations(p_month, v_until) c
   where exists (select from private.usage_months() m where m.month = p_month and m.has_events);
  v_discrepancies := v_seal.discrepancies || coalesce(v_rollups.discrepancies, '[]') || coalesce(v_generations.discrepancies, '[]');
  -- What was found stays until somebody has looked into it, whatever a later look finds.
  update private.sealed_months
     set proved_at = now(), fault = coalesce(fault, jsonb_path_query_array(nullif(v_discrepancies, '[]'), '$[0 to 19]'))
   where month = p_month;
  return jsonb_build_object(
    'month', to_char(p_month at time zone 'UTC', 'YYYY-MM'), 'ok', v_discrepancies = '[]',
    'checked', v_seal.checked + coalesce(v_rollups.checked, 0) + coalesce(v_generations.checked, 0),
    'discrepancies', v_discrepancies
  );
end
$$;
comment on function private.prove_month(timestamptz) is
  'Reads all of a sealed month again, notes in its seal what is wrong, and returns {month, ok, checked, discrepancies}.';
