create or replace function public.my_balance()
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
declare
  v_user_id uuid := public.require_current_user('usage:read');
begin
  return (
    select jsonb_build_object(
             'allocated', coalesce(b.allocated, 0), 'used', coalesce(b.used, 0), 'reserved', coalesce(b.reserved, 0),
             'remaining', coalesce(b.remaining, 0), 'debt', coalesce(b.debt, 0)
           )
      from (select 1) one left join public.balances b on b.subject_id = v_user_id
  );
end
$$;
grant execute on function public.my_balance() to authenticated;
comment on function public.my_balance() is 'Returns the caller''s balance: {allocated, used, reserved, remaining, debt}.';
