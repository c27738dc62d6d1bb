create or replace function public.remove_person(p_person uuid, p_why text)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_detail text;
begin
  return private.drop_account(private.require_reason(p_why), private.require_hand_person(p_person));
exception
  when sqlstate 'PT400' or sqlstate 'PT403' or sqlstate 'PT404' or sqlstate 'PT409' or sqlstate 'PT422' then
    get stacked diagnostics v_detail = pg_exception_detail;
    raise exception using message = private.explain_refusal(sqlerrm, v_detail), errcode = sqlstate;
end
$$;
comment on function public.remove_person(uuid, text) is
  'For the SQL editor: removes an account as its owner could. Returns {deleted}; refuses while Stripe knows the person.';
