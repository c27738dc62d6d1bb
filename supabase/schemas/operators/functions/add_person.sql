create or replace function public.add_person(p_email text, p_tokens bigint default 0, p_name text default null)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_detail text;
begin
  if p_email is null or p_email !~ '^[^@\s]+@[^@\s]+$' or length(p_email) > 320 then
    raise exception 'This is no address: %', coalesce(p_email, 'null') using errcode = '22023';
  end if;
  return private.add_account(private.by_hand(), lower(p_email), greatest(coalesce(p_tokens, 0), 0), p_name, null);
exception
  when sqlstate 'PT400' or sqlstate 'PT403' or sqlstate 'PT404' or sqlstate 'PT409' or sqlstate 'PT422' then
    get stacked diagnostics v_detail = pg_exception_detail;
    raise exception using message = private.explain_refusal(sqlerrm, v_detail), errcode = sqlstate;
end
$$;
comment on function public.add_person(text, bigint, text) is
  'For the SQL editor: creates an account with its first tokens; its owner sets a password through the link for forgotten ones. Returns the account.';
