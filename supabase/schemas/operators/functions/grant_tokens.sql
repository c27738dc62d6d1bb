create or replace function public.grant_tokens(p_subject uuid, p_tokens bigint, p_why text, p_key text default null)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_detail text;
begin
  return private.allocate_tokens(
    private.require_reason(p_why), private.require_kind(p_subject), p_subject, private.require_count(p_tokens), null, p_key
  );
exception
  when sqlstate 'PT400' or sqlstate 'PT403' or sqlstate 'PT404' or sqlstate 'PT409' or sqlstate 'PT422' then
    get stacked diagnostics v_detail = pg_exception_detail;
    raise exception using message = private.explain_refusal(sqlerrm, v_detail), errcode = sqlstate;
end
$$;
comment on function public.grant_tokens(uuid, bigint, text, text) is
  'For the SQL editor: gives a device or person tokens from its pool, with a ledger entry and an audit line that says why. The same p_key again does nothing more. Returns the balance.';
