create or replace function public.list_usage(
  p_limit integer, p_from text, p_to text, p_time_zone text, p_filter jsonb default '{}',
  p_before_at text default null, p_before_id uuid default null, p_subjects uuid[] default public.own_subjects()
)
returns jsonb
language plpgsql stable set search_path = '' set timezone = 'UTC'
as $$
declare
  v_range record;
  v_subjects uuid[] := case
    when p_filter ? 'device' and (p_filter ->> 'device')::uuid = any (p_subjects) is not false
      then array[(p_filter ->> 'device')::uuid]
    when p_filter ? 'device' then '{}'
    else coalesce(p_subjects, array[null::uuid])
  end;
begin
  select * into v_range from public.usage_range(p_from, p_to, p_time_zone);
  return (
    select coalesce(jsonb_agg(to_jsonb(page) order by page.occurred_at desc, page.id desc), '[]')
      from (
        select e.id, e.user_id, e.device_id, e.provider, e.model, e.source, e.prompt_count as prompts, e.input_tokens,
               e.output_tokens, e.total_tokens, e.cost, e.nano_usd, e.provenance, e.url, e.occurred_at, e.created_at
          from unnest(v_subjects) s(subject_id)
         -- Each subject's newest, by the index; the newest of all are among them.
         cross join lateral public.usage_page(
           s.subject_id, p_limit, v_range.range_from, v_range.range_to, p_filter, p_before_at::timestamptz, p_before_id
         ) e
         order by e.occurred_at desc, e.id desc
         limit p_limit
      ) page
  );
exception
  -- The cursor comes from the caller.
  when data_exception then
    raise sqlstate 'PT400' using message = 'VALIDATION_FAILED';
end
$$;
grant execute on function public.list_usage(integer, text, text, text, jsonb, text, uuid, uuid[]) to authenticated;
comment on function public.list_usage(integer, text, text, text, jsonb, text, uuid, uuid[]) is
  'Returns usage events of the caller and their devices in a range, newest first, filtered by any of provider, model, source, device; before (time, id) to page on.';
