create or replace function public.transfer_tokens(p_from uuid, p_to uuid, p_tokens bigint, p_why text, p_key text default null)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_detail text;
begin
  if private.require_kind(p_from) <> private.require_kind(p_to) then
    raise exception 'A device''s tokens are prompts and a person''s are tokens of language models: neither becomes the other'
      using errcode = '22023';
  end if;
  return private.allocate_tokens(
    private.require_reason(p_why), private.require_kind(p_to), p_to, private.require_count(p_tokens), p_from, p_key
  );
exception
  when sqlstate 'PT400' or sqlstate 'PT403' or sqlstate 'PT404' or sqlstate 'PT409' or sqlstate 'PT422' then
    get stacked diagnostics v_detail = pg_exception_detail;
    raise exception using message = private.explain_refusal(sqlerrm, v_detail), errcode = sqlstate;
end
$$;
comment on function public.transfer_tokens(uuid, uuid, bigint, text, text) is
  'For the SQL editor: moves tokens between two devices or two persons, with two ledger entries and an audit line that says why. The same p_key again does nothing more. Returns the balance of the second, with from for the first.';
