-- Of devices and people there are too many to add each of them up in each period, or for the sake of a few: they are ranked first,
-- and only those that are listed are told apart.
create or replace function private.everybodys_usage(
  p_names text[], p_starts timestamptz[], p_from timestamptz, p_to timestamptz, p_filter jsonb, p_groups integer
)
returns table (
  period integer, rank bigint, is_rest boolean, provider text, model text, source text, device uuid, "user" uuid,
  events numeric, prompts numeric, input_tokens numeric, output_tokens numeric, total_tokens numeric, cost numeric,
  nano_usd numeric
)
language plpgsql stable set search_path = ''
as $$
declare
  v_of_subjects constant boolean := p_names && '{device,user}';
  v_is_named constant boolean := p_names && '{provider,model,source}' or p_filter ?| '{provider,model,source}';
  v_is_summed constant boolean := not v_of_subjects or p_starts is null and p_groups > 1000;
  -- Names of a closed list only, and only those that are asked for, so that nothing is grouped or compared in vain.
  v_keys constant text[] := array(select k from unnest('{provider,model,source}'::text[]) k where k = any (p_names))
    || case when v_of_subjects then '{subject_id}' else '{}' end::text[];
  v_names constant text[] := array(
    select quote_ident(n) from unnest('{provider,model,source,device,user}'::text[]) n where n = any (p_names)
  );
  v_sums constant text := 'sum(%1$s.events) as events, sum(%1$s.prompts) as prompts, sum(%1$s.input_tokens) as input_tokens, '
    'sum(%1$s.output_tokens) as output_tokens, sum(%1$s.total_tokens) as total_tokens, sum(%1$s.cost) as cost, '
    'sum(%1$s.nano_usd) as nano_usd';
begin
  return query execute format(
    $query$
      with
      used as %1$s (
        select %2$s from (%3$s) r where %4$s %5$s
      ),
      named as materialized (
        select k.* %6$s from (%7$s) k %8$s
      ),
      ranked as materialized (
        select %9$s count(*) over () > $2 as are_more, row_number() over (order by %10$s) as rank %16$s from named n %11$s
      )
    $query$
    || case when v_is_summed and p_starts is null then $query$
      select 0, r.rank, false, %15$s, r.events, r.prompts, r.input_tokens, r.output_tokens, r.total_tokens, r.cost, r.nano_usd
        from ranked r where not r.are_more or r.rank < $2
      union all
      select 0, $2, true, null, null, null, null, null, sum(r.events), sum(r.prompts), sum(r.input_tokens),
             sum(r.output_tokens), sum(r.total_tokens), sum(r.cost), sum(r.nano_usd)
        from ranked r where r.are_more and r.rank >= $2 having count(*) > 0
    $query$
    else $query$,
      placed as materialized (
        select n.*, least(r.rank, $2) as place from named n join ranked r on %12$s
      ),
      cells as (
        select u.period, p.place, %13$s from used u join placed p on %14$s group by 1, 2
      )
      select c.period, r.rank, r.are_more and r.rank = $2, %15$s, c.events, c.prompts, c.input_tokens, c.output_tokens,
             c.total_tokens, c.cost, c.nano_usd
        from cells c join ranked r on r.rank = c.place
    $query$ end,
    case when v_is_summed then 'materialized' else 'not materialized' end,
    concat_ws(
      ', ', case when p_starts is null then '0' else 'width_bucket(r.bucket, $1)' end || ' as period',
      (select string_agg('r.' || k, ', ') from unnest(v_keys) k),
      case
        when v_is_summed then format(v_sums, 'r')
        else 'r.events, r.prompts, r.input_tokens, r.output_tokens, r.total_tokens, r.cost, r.nano_usd'
      end
    ),
    case
      when v_of_subjects then private.subject_source(v_is_named, p_starts, p_from, p_to)
      else private.named_source(not v_is_named, p_starts, p_from, p_to)
    end,
    concat_ws(
      ' and ', 'true', 'r.provider = ' || quote_literal(p_filter ->> 'provider'),
      'r.model = ' || quote_literal(lower(btrim(p_filter ->> 'model'))), 'r.source = ' || quote_literal(p_filter ->> 'source')
    ),
    case when v_is_summed then 'group by ' || concat_ws(', ', '1', (select string_agg('r.' || k, ', ') from unnest(v_keys) k)) end,
    concat(
      case when 'device' = any (p_names) then ', d.id as device' end,
      case when 'user' = any (p_names) then ', coalesce(d.user_id, case when d.id is null then k.subject_id end) as "user"' end
    ),
    case
      when v_is_summed and p_starts is null then 'select * from used'
      else 'select ' || concat_ws(', ', (select string_agg('u.' || k, ', ') from unnest(v_keys) k), 'sum(u.events) as events')
        || ' from used u' || (select coalesce(' group by ' || string_agg('u.' || k, ', '), '') from unnest(v_keys) k)
    end,
    case when v_of_subjects then 'left join public.devices d on d.id = k.subject_id' end,
    (select string_agg('n.' || n || ', ', '') from unnest(v_names) n),
    concat_ws(', ', 'sum(n.events) desc', (select string_agg('n.' || n || ' nulls first', ', ') from unnest(v_names) n)),
    (select 'group by ' || string_agg('n.' || n, ', ') from unnest(v_names) n),
    (
      select concat_ws(
               ' and ', 'true',
               string_agg(
                 case
                   when n in ('device', '"user"') then format('coalesce(r.%1$s, %2$L) = coalesce(n.%1$s, %2$L)', n, uuid_nil)
                   else format('r.%1$s = n.%1$s', n)
                 end, ' and '
               )
             )
        from unnest(v_names) n cross join (values ('00000000-0000-0000-0000-000000000000')) v(uuid_nil)
    ),
    format(v_sums, 'u'),
    (select concat_ws(' and ', 'true', string_agg(format('p.%1$s = u.%1$s', k), ' and ')) from unnest(v_keys) k),
    (
      select string_agg(case when quote_ident(n) = any (v_names) then 'r.' || quote_ident(n) else 'null::' || t end, ', ' order by place)
        from unnest('{provider,model,source,device,user}'::text[], '{text,text,text,uuid,uuid}'::text[]) with ordinality v(n, t, place)
    ),
    case when v_is_summed and p_starts is null then ', ' || format(v_sums, 'n') end
  )
  using p_starts, p_groups;
end
$$;
comment on function private.everybodys_usage(text[], timestamptz[], timestamptz, timestamptz, jsonb, integer) is
  'Returns what everybody used in a range, as ranked_usage does.';
