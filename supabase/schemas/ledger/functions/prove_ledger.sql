create or replace function private.prove_ledger()
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_started constant timestamptz := clock_timestamp();
  v_checks jsonb;
  v_failing jsonb;
  v_count integer;
  v_digest text;
begin
  select jsonb_agg(to_jsonb(v)) into v_checks from public.verify_ledger() v;
  select coalesce(jsonb_agg(jsonb_build_object('name', c ->> 'name', 'discrepancies', jsonb_array_length(c -> 'discrepancies'))), '[]'),
         coalesce(sum(jsonb_array_length(c -> 'discrepancies')), 0),
         md5(coalesce(string_agg(c ->> 'discrepancies', ' ' order by c ->> 'name'), ''))
    into v_failing, v_count, v_digest
    from jsonb_array_elements(v_checks) c where not (c ->> 'ok')::boolean;
  -- The same discrepancies are told once, however often they are found.
  if v_count > 0 and v_digest is distinct from (select l.digest from private.ledger_checks l order by l.id desc limit 1) then
    perform private.emit_event('ledger.discrepancy', jsonb_build_object('checks', v_failing));
    perform private.raise_alert('ledger.discrepancy', jsonb_build_object('checks', v_failing));
  end if;
  delete from private.ledger_checks where checked_at < now() - interval '90 days';
  insert into private.ledger_checks (milliseconds, failing, discrepancies, digest)
  values (
    extract(epoch from clock_timestamp() - v_started) * 1000,
    array(select f ->> 'name' from jsonb_array_elements(v_failing) f), v_count, v_digest
  );
  return jsonb_build_object('ok', v_count = 0, 'checks', v_checks);
end
$$;
comment on function private.prove_ledger() is
  'Runs verify_ledger, keeps what came of it, and tells webhooks and admins of new discrepancies. Returns {ok, checks}.';
