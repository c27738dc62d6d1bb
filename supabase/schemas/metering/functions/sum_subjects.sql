-- Only what differs is written, as a day that is summed anew is the same for nearly all; and its month gets the difference.
create or replace function private.sum_subjects(p_days date[])
returns void
language plpgsql volatile set search_path = '' set plan_cache_mode = 'force_custom_plan' set jit = off
as $$
declare
  v_gone date[];
begin
  with
  summed as (
    select d.day, r.subject_id, sum(r.events)::bigint as events, sum(r.prompts)::bigint as prompts,
           sum(r.input_tokens)::bigint as input_tokens, sum(r.output_tokens)::bigint as output_tokens,
           sum(r.total_tokens)::bigint as total_tokens, sum(r.cost)::bigint as cost, sum(r.nano_usd)::bigint as nano_usd
      from unnest(p_days) d(day)
     cross join lateral (
       select d.day::timestamp at time zone 'UTC' as starts, (d.day + 1)::timestamp at time zone 'UTC' as ends
     ) b
     cross join lateral (
       select * from public.usage_rollups l where l.bucket >= b.starts and l.bucket < b.ends
       union all
       select * from private.unpack_rollups(b.starts, b.ends)
     ) r
     group by d.day, r.subject_id
  ),
  known as (
    select * from private.daily_subject_usage d where d.day = any (p_days)
  ),
  changed as materialized (
    select coalesce(s.day, k.day) as day, coalesce(s.subject_id, k.subject_id) as subject_id, s.subject_id is null as is_gone,
           s.events, s.prompts, s.input_tokens, s.output_tokens, s.total_tokens, s.cost, s.nano_usd,
           coalesce(s.events, 0) - coalesce(k.events, 0) as more_events,
           coalesce(s.prompts, 0) - coalesce(k.prompts, 0) as more_prompts,
           coalesce(s.input_tokens, 0) - coalesce(k.input_tokens, 0) as more_input_tokens,
           coalesce(s.output_tokens, 0) - coalesce(k.output_tokens, 0) as more_output_tokens,
           coalesce(s.total_tokens, 0) - coalesce(k.total_tokens, 0) as more_total_tokens,
           coalesce(s.cost, 0) - coalesce(k.cost, 0) as more_cost,
           coalesce(s.nano_usd, 0) - coalesce(k.nano_usd, 0) as more_nano_usd
      from summed s
      full join known k on k.day = s.day and k.subject_id = s.subject_id
     where (s.events, s.prompts, s.input_tokens, s.output_tokens, s.total_tokens, s.cost, s.nano_usd) is distinct from
           (k.events, k.prompts, k.input_tokens, k.output_tokens, k.total_tokens, k.cost, k.nano_usd)
  ),
  gone as (
    delete from private.daily_subject_usage d using changed c
     where c.is_gone and d.day = c.day and d.subject_id = c.subject_id
    returning date_trunc('month', d.day::timestamp)::date as month
  ),
  written as (
    insert into private.daily_subject_usage
    select c.day, c.subject_id, c.events, c.prompts, c.input_tokens, c.output_tokens, c.total_tokens, c.cost, c.nano_usd
      from changed c where not c.is_gone
    on conflict (day, subject_id) do update
      set events = excluded.events, prompts = excluded.prompts, input_tokens = excluded.input_tokens,
          output_tokens = excluded.output_tokens, total_tokens = excluded.total_tokens, cost = excluded.cost,
          nano_usd = excluded.nano_usd
  ),
  added as (
    insert into private.monthly_subject_usage as m
    select date_trunc('month', c.day::timestamp)::date, c.subject_id, sum(c.more_events), sum(c.more_prompts),
           sum(c.more_input_tokens), sum(c.more_output_tokens), sum(c.more_total_tokens), sum(c.more_cost),
           sum(c.more_nano_usd)
      from changed c
     group by 1, 2
    on conflict (month, subject_id) do update
      set events = m.events + excluded.events, prompts = m.prompts + excluded.prompts,
          input_tokens = m.input_tokens + excluded.input_tokens, output_tokens = m.output_tokens + excluded.output_tokens,
          total_tokens = m.total_tokens + excluded.total_tokens, cost = m.cost + excluded.cost,
          nano_usd = m.nano_usd + excluded.nano_usd
  )
  select array_agg(distinct g.month) into v_gone from gone g;
  delete from private.monthly_subject_usage m where m.month = any (v_gone) and m.events = 0;
end
$$;
comment on function private.sum_subjects(date[]) is
  'Sums up what each device and user used on some days, and brings their months up to date.';
