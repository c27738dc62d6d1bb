-- From the place where the page begins, in stretches that get longer until it is full: only what lies in them is unpacked.
create or replace function private.archived_page(
  p_subject_id uuid, p_linked_to uuid, p_own uuid[], p_devices uuid[], p_limit integer, p_from timestamptz, p_to timestamptz,
  p_filter jsonb, p_at timestamptz, p_id uuid, p_is_ascending boolean
)
returns setof public.usage_events
language plpgsql stable set search_path = '' set plan_cache_mode = 'force_custom_plan' set timezone = 'UTC'
as $$
declare
  v_end constant timestamptz := public.archived_until();
  v_from timestamptz := greatest(p_from, (select min(m.month) from private.archived_months m), case when p_is_ascending then p_at end);
  v_to timestamptz := least(p_to, v_end, case when not p_is_ascending then p_at + interval '1 microsecond' end);
  v_span interval := case when p_subject_id is null and p_linked_to is null then interval '1 day' else interval '31 days' end;
  v_low timestamptz;
  v_high timestamptz;
  v_days integer;
  v_found integer := 0;
  v_rows integer;
begin
  while v_from < v_to and v_found < p_limit loop
    v_low := case when p_is_ascending then v_from else greatest(v_from, v_to - v_span) end;
    v_high := case when p_is_ascending then least(v_to, v_from + v_span) else v_to end;
    -- A stretch within a month is told by its days.
    v_days := case when date_trunc('month', v_low) = date_trunc('month', v_high - interval '1 microsecond') then (
      (1::bigint << extract(day from v_high - interval '1 microsecond')::integer) - (1::bigint << extract(day from v_low)::integer - 1)
    )::bit(32)::integer else -1 end;
    return query
      select u.id, u.subject_id, u.user_id, u.device_id, u.source, u.provider, u.model, u.prompt_count, u.input_tokens,
             u.output_tokens, u.total_tokens, u.cost, u.provenance, u.period, u.url, u.occurred_at, u.created_at, u.nano_usd
        from private.unpacked_events u
       where (p_subject_id is null or u.subject_id = p_subject_id)
         and (p_linked_to is null or (u.user_id = p_linked_to and u.user_id is distinct from u.subject_id))
         and (
           p_own is null or u.subject_id = any (p_own) or u.user_id = any (p_own)
           or (u.user_id is null and u.subject_id = any (p_devices))
         )
         and u.since >= date_trunc('month', v_low) and u.since < v_high and u.days & v_days <> 0
         and u.occurred_at >= v_low and u.occurred_at < v_high
         and (
           p_id is null
           or case when p_is_ascending then (u.occurred_at, u.id) > (p_at, p_id) else (u.occurred_at, u.id) < (p_at, p_id) end
         )
         and (p_filter ->> 'provider' is null or u.provider = p_filter ->> 'provider')
         and (p_filter ->> 'model' is null or u.model = lower(btrim(p_filter ->> 'model')))
         and (p_filter ->> 'source' is null or u.source = p_filter ->> 'source')
         and (p_filter ->> 'device' is null or u.device_id = (p_filter ->> 'device')::uuid)
         and (not p_filter ? 'debits' or u.cost > 0)
         and (p_filter ->> 'debits' is distinct from 'people' or u.source <> 'device')
       order by case when p_is_ascending then u.occurred_at end, case when p_is_ascending then u.id end,
                u.occurred_at desc, u.id desc
       limit p_limit - v_found;
    get diagnostics v_rows = row_count;
    v_found := v_found + v_rows;
    v_from := case when p_is_ascending then v_high else v_from end;
    v_to := case when p_is_ascending then v_to else v_low end;
    v_span := v_span * 2;
  end loop;
end
$$;
comment on function private.archived_page(uuid, uuid, uuid[], uuid[], integer, timestamptz, timestamptz, jsonb, timestamptz, uuid, boolean) is
  'Returns archived events of a subject, or of devices in an account''s name, or of everybody, before or after a place; with p_own only those which these ids, or the devices of theirs, may see.';
