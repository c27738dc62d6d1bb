-- Stripe's months have 28 to 31 days and its years 365 or 366; what is shorter than a month counts as its part of one.
create or replace function private.period_months(p_start timestamptz, p_end timestamptz)
returns numeric
language sql immutable set search_path = ''
as $$
  select case when days.count >= 27 then round(days.count / 30.436875) else greatest(days.count / 30.436875, 0) end
    from (select extract(epoch from p_end - p_start) / 86400 as count) days
$$;
comment on function private.period_months(timestamptz, timestamptz) is
  'Returns how many months'' tokens a billing period is worth: 1 for a month, 12 for a year.';
