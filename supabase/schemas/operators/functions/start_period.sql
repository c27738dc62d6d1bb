create or replace function public.start_period(p_default_tokens bigint, p_again boolean default false)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_detail text;
begin
  if p_default_tokens is null or p_default_tokens not between 0 and 1000000000 then
    raise exception 'A device gets 0 to 1000000000 tokens' using errcode = '22023';
  end if;
  return private.reset_devices(private.by_hand(), p_default_tokens, p_again);
exception
  when sqlstate 'PT400' or sqlstate 'PT403' or sqlstate 'PT404' or sqlstate 'PT409' or sqlstate 'PT422' then
    get stacked diagnostics v_detail = pg_exception_detail;
    raise exception using message = private.explain_refusal(sqlerrm, v_detail), errcode = sqlstate;
end
$$;
comment on function public.start_period(bigint, boolean) is
  'For the SQL editor: ends the budget period of the devices and gives each of them so many tokens. A second time in a month needs p_again. Returns {period, devices, default_tokens}.';
