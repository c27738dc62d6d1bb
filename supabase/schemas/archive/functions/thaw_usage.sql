-- Whoever changes something in a month that is over calls this first. The lock it shares with its like is where it meets
-- archive_month: either what it writes is seen there, or what was archived is seen here. Callers may keep generic plans, which
-- a table that is spread over several machines has none of.
create or replace function private.thaw_usage(p_subject_id uuid, p_at timestamptz)
returns void
language plpgsql volatile set search_path = '' set plan_cache_mode = 'force_custom_plan'
as $$
declare
  v_month constant timestamptz := date_trunc('month', p_at, 'UTC');
  v_until constant timestamptz := (v_month at time zone 'UTC' + interval '1 month') at time zone 'UTC';
begin
  -- The running month is never archived.
  if v_month is null or v_until > now() then
    return;
  end if;
  perform pg_advisory_xact_lock_shared(hashtext('private.archive'));
  perform from private.archived_months m where m.month = v_month;
  if not found then
    return;
  end if;
  -- One at a time for a subject and month: the next one finds nothing left to do.
  perform pg_advisory_xact_lock(hashtextextended('thaw ' || p_subject_id || v_month, 0));
  insert into public.usage_events
  select u.id, u.subject_id, u.user_id, u.device_id, u.source, u.provider, u.model, u.prompt_count, u.input_tokens,
         u.output_tokens, u.total_tokens, u.cost, u.provenance, u.period, u.url, u.occurred_at, u.created_at, u.nano_usd
    from private.unpacked_events u
   where u.subject_id = p_subject_id and u.since >= v_month and u.since < v_until;
  if found then
    delete from private.archived_events a where a.subject_id = p_subject_id and a.since >= v_month and a.since < v_until;
  end if;
  insert into public.usage_rollups
  select u.subject_id, u.bucket, u.provider, u.model, u.source, u.events, u.prompts, u.input_tokens, u.output_tokens,
         u.total_tokens, u.cost, u.nano_usd
    from private.unpacked_rollups u
   where u.subject_id = p_subject_id and u.month = v_month;
  if found then
    -- Where all names of a day were told apart they were taken away, and are those of its rollups.
    insert into private.rollup_names (subject_id, day, provider, model)
    select distinct u.subject_id, (u.bucket at time zone 'UTC')::date, u.provider, u.model
      from private.unpacked_rollups u
     where u.subject_id = p_subject_id and u.month = v_month
       and (u.bucket at time zone 'UTC')::date not in (
         select n.day from private.rollup_names n
          where n.subject_id = p_subject_id
            and n.day >= (v_month at time zone 'UTC')::date and n.day < (v_until at time zone 'UTC')::date
       );
    delete from private.archived_rollups a where a.subject_id = p_subject_id and a.month = v_month;
  end if;
end
$$;
comment on function private.thaw_usage(uuid, timestamptz) is
  'Puts what a subject has in an archived month back where it can be changed; nothing where that month is not archived.';
