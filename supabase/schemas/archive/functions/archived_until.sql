create or replace function public.archived_until()
returns timestamptz
language plpgsql stable security definer set search_path = '' set plan_cache_mode = 'force_generic_plan'
as $$
-- Definer: whoever lists usage must know whether there is older usage elsewhere, and no API role may read archived_months.
begin
  return (
    select (max(m.month) at time zone 'UTC' + interval '1 month') at time zone 'UTC' from private.archived_months m
  );
end
$$;
grant execute on function public.archived_until() to authenticated;
comment on function public.archived_until() is 'Returns the end of the newest month that is archived, null where none is.';
