create or replace function private.judge_hand(
  p_schema text, p_table text, p_statement text, p_sentence text, p_cascade text default null
)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_why constant text := nullif(btrim(current_setting('tokenledger.by_hand', true)), '');
begin
  -- What references a row that may be deleted by hand goes with it.
  if p_cascade is not null and pg_trigger_depth() > 1 then
    return;
  end if;
  if v_why is null then
    raise exception '%.% is not changed by hand: %', p_schema, p_table, p_sentence using
      errcode = '42501',
      hint = 'To repair damaged books all the same, run select set_config(''tokenledger.by_hand'', ''why'', true) before it, in the same transaction. The audit log has it, and verify_ledger() tells whether they add up.';
  end if;
  perform private.audit_by(
    private.by_hand(v_why), 'change_by_hand', 'table:' || p_schema || '.' || p_table, null,
    jsonb_build_object('statement', lower(p_statement))
  );
end
$$;
comment on function private.judge_hand(text, text, text, text, text) is
  'Refuses a change by hand in a sentence; where tokenledger.by_hand says why, it lets it pass and notes it in the audit log.';
