create or replace function public.my_payments(p_limit integer, p_before_at text default null, p_before_id uuid default null)
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user();
begin
  return (
    select coalesce(jsonb_agg(to_jsonb(page) order by page.paid_at desc, page.id desc), '[]')
      from (
        select g.id, g.created_at as paid_at, g.tier, g.renewal, g.period_start, g.period_end, g.paid_amount as amount,
               g.currency, g.net_tokens as tokens_bought, g.granted_tokens as tokens_granted,
               g.taken_tokens as tokens_taken_back
          from public.subscription_grants g
         where g.user_id = v_user_id
           and (p_before_id is null or (g.created_at, g.id) < (p_before_at::timestamptz, p_before_id))
         order by g.created_at desc, g.id desc
         limit p_limit
      ) page
  );
exception
  -- The cursor comes from the caller.
  when data_exception then
    raise sqlstate 'PT400' using message = 'VALIDATION_FAILED';
end
$$;
grant execute on function public.my_payments(integer, text, uuid) to authenticated;
comment on function public.my_payments(integer, text, uuid) is
  'Returns what the caller paid for and what each payment granted, newest first; before (time, id) to page on.';
