create or replace function public.give_plan(p_person uuid, p_tier text, p_why text default null)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_detail text;
begin
  if not exists (select from public.plans p where p.tier = p_tier) then
    raise exception 'There is no tier %: they are free, pro and premium', coalesce(p_tier, 'null') using errcode = '22023';
  end if;
  return private.give_tier(private.by_hand(p_why), private.require_hand_person(p_person), p_tier);
exception
  when sqlstate 'PT400' or sqlstate 'PT403' or sqlstate 'PT404' or sqlstate 'PT409' or sqlstate 'PT422' then
    get stacked diagnostics v_detail = pg_exception_detail;
    raise exception using message = private.explain_refusal(sqlerrm, v_detail), errcode = sqlstate;
end
$$;
comment on function public.give_plan(uuid, text, text) is
  'For the SQL editor: gives a person a tier without payment, or takes it back with free, with an audit line. Returns the account.';
