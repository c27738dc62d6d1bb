create or replace function public.ranked_usage(
  p_subjects uuid[], p_names text[], p_starts timestamptz[], p_from timestamptz, p_to timestamptz, p_filter jsonb default '{}',
  p_groups integer default 10000
)
returns table (
  period integer, rank bigint, is_rest boolean, provider text, model text, source text, device uuid, "user" uuid,
  events numeric, prompts numeric, input_tokens numeric, output_tokens numeric, total_tokens numeric, cost numeric,
  nano_usd numeric
)
language plpgsql stable set search_path = '' set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_provider constant boolean := 'provider' = any (p_names);
  v_model constant boolean := 'model' = any (p_names);
  v_source constant boolean := 'source' = any (p_names);
  v_device constant boolean := 'device' = any (p_names);
  v_user constant boolean := 'user' = any (p_names);
  v_only_provider constant text := p_filter ->> 'provider';
  v_only_model constant text := lower(btrim(p_filter ->> 'model'));
  v_only_source constant text := p_filter ->> 'source';
  v_nobody constant uuid := '00000000-0000-0000-0000-000000000000';
begin
  -- Everybody's sums have no row-level security, and nobody but an admin's function may read them.
  if p_subjects is null and has_table_privilege('public.usage_totals', 'select') then
    return query
      select u.* from private.everybodys_usage(p_names, p_starts, p_from, p_to, p_filter, p_groups) u;
    return;
  end if;
  p_subjects := coalesce(
    p_subjects,
    array[public.current_user_id(), public.current_device_id()]
      || array(select d.id from public.devices d where d.user_id = public.current_user_id())
  );
  -- Few rows: one statement for whatever is asked, as planning one for each question takes longer than answering it.
  return query
    with named as materialized (
      select s.period, s.provider, s.model, s.source, case when v_device then d.id end as device,
             case when v_user then coalesce(d.user_id, case when d.id is null then s.subject_id end) end as "user",
             s.events, s.prompts, s.input_tokens, s.output_tokens, s.total_tokens, s.cost, s.nano_usd
        from (
          select coalesce(width_bucket(r.bucket, p_starts), 0) as period, case when v_provider then r.provider end as provider,
                 case when v_model then r.model end as model, case when v_source then r.source end as source,
                 case when v_device or v_user then r.subject_id end as subject_id,
                 sum(r.events) as events, sum(r.prompts) as prompts, sum(r.input_tokens) as input_tokens,
                 sum(r.output_tokens) as output_tokens, sum(r.total_tokens) as total_tokens, sum(r.cost) as cost,
                 sum(r.nano_usd) as nano_usd
            from (
              select * from public.usage_rollups h
               where h.subject_id = any (p_subjects) and h.bucket >= p_from and h.bucket < p_to
              union all
              select * from public.archived_rollups(p_subjects, p_from, p_to)
            ) r
           where r.subject_id = any (p_subjects) and r.bucket >= p_from and r.bucket < p_to
             and (v_only_provider is null or r.provider = v_only_provider)
             and (v_only_model is null or r.model = v_only_model)
             and (v_only_source is null or r.source = v_only_source)
           group by 1, 2, 3, 4, 5
        ) s
        left join lateral (select v.id, v.user_id from public.devices v where v.id = s.subject_id offset 0) d on true
    ),
    groups as materialized (
      select n.provider, n.model, n.source, n.device, n."user", count(*) over () > p_groups as are_more,
             row_number() over (
               order by sum(n.events) desc, n.provider nulls first, n.model nulls first, n.source nulls first,
                        n.device nulls first, n."user" nulls first
             ) as rank
        from named n group by 1, 2, 3, 4, 5
    ),
    cells as (
      select n.period, least(g.rank, p_groups) as rank,
             sum(n.events) as events, sum(n.prompts) as prompts, sum(n.input_tokens) as input_tokens,
             sum(n.output_tokens) as output_tokens, sum(n.total_tokens) as total_tokens, sum(n.cost) as cost,
             sum(n.nano_usd) as nano_usd
        from named n
        join groups g
          on coalesce(g.provider, '') = coalesce(n.provider, '') and coalesce(g.model, '') = coalesce(n.model, '')
         and coalesce(g.source, '') = coalesce(n.source, '') and coalesce(g.device, v_nobody) = coalesce(n.device, v_nobody)
         and coalesce(g."user", v_nobody) = coalesce(n."user", v_nobody)
       group by 1, 2
    )
    select c.period, c.rank, g.are_more and g.rank = p_groups, g.provider, g.model, g.source, g.device, g."user", c.events,
           c.prompts, c.input_tokens, c.output_tokens, c.total_tokens, c.cost, c.nano_usd
      from cells c join groups g on g.rank = c.rank;
end
$$;
grant execute on function public.ranked_usage(uuid[], text[], timestamptz[], timestamptz, timestamptz, jsonb, integer) to authenticated;
comment on function public.ranked_usage(uuid[], text[], timestamptz[], timestamptz, timestamptz, jsonb, integer) is
  'Returns what subjects, or everybody for whoever may read it, used in a range, filtered by any of provider, model, source: by the named ones of provider, model, source, device, user (the others are null), ranked by events, where of more than so many groups the last ones are one, is_rest, whose names say nothing; and by period, the number of the last of its starts that a use does not come before, 0 where there are none.';
