create or replace function public.usage_range(
  p_from text, p_to text, p_time_zone text, out range_from timestamptz, out range_to timestamptz
)
language plpgsql stable set search_path = '' set timezone = 'UTC'
as $$
begin
  -- A date is the whole day where the person is; a time is a moment.
  range_from := case
    when p_from ~ '^\d{4}-\d{2}-\d{2}$' then public.day_start(p_from::date, p_time_zone)
    else p_from::timestamptz
  end;
  range_to := case
    when p_to ~ '^\d{4}-\d{2}-\d{2}$' then public.day_start(p_to::date + 1, p_time_zone)
    else p_to::timestamptz
  end;
  if (
    range_to > range_from and range_to <= range_from + interval '1100 days'
    and date_bin('15 minutes', range_from, 'epoch') = range_from
    and date_bin('15 minutes', range_to, 'epoch') = range_to
  ) is not true then
    raise sqlstate 'PT400' using message = 'RANGE_NOT_VALID';
  end if;
exception
  -- Not a date, a time or a time zone, or out of bounds.
  when data_exception then
    raise sqlstate 'PT400' using message = 'RANGE_NOT_VALID';
end
$$;
grant execute on function public.usage_range(text, text, text) to authenticated;
comment on function public.usage_range(text, text, text) is
  'Reads a range: dates in a time zone, the last one included, or times on whole quarter hours; at most 1,100 days. Raises RANGE_NOT_VALID.';
