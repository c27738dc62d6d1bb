create or replace function private.change_event_money(
  p_generation public.generations, p_provenance text, p_nano_usd bigint
)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_event public.usage_events;
  v_difference bigint;
begin
  perform private.thaw_usage(p_generation.subject_id, r.closed_at) from public.reservations r where r.id = p_generation.id;
  -- An event happened when its hold was closed.
  select e.* into v_event
    from public.usage_events e
   where e.subject_id = p_generation.subject_id and e.id = p_generation.id
     and e.occurred_at = (select r.closed_at from public.reservations r where r.id = p_generation.id);
  -- Until upstream's last word is known, nothing is taken from what it has said.
  v_difference := case when p_provenance = 'estimated' then greatest(p_nano_usd, v_event.nano_usd) else p_nano_usd end
    - coalesce(v_event.nano_usd, 0);
  if v_event.id is null or v_difference is null or (v_difference = 0 and v_event.nano_usd is not null) then
    return;
  end if;
  update public.usage_events e set nano_usd = coalesce(e.nano_usd, 0) + v_difference
   where e.subject_id = v_event.subject_id and e.occurred_at = v_event.occurred_at and e.id = v_event.id;
  v_event := private.rolled_up_as(v_event);
  update public.usage_rollups r set nano_usd = r.nano_usd + v_difference
   where r.subject_id = v_event.subject_id and r.bucket = date_bin('15 minutes', v_event.occurred_at, 'epoch')
     and r.provider = v_event.provider and r.model = v_event.model and r.source = v_event.source;
  -- Into any shard: they are added up.
  insert into public.usage_totals as t (
    bucket, shard, events, prompts, input_tokens, output_tokens, total_tokens, cost, nano_usd
  )
  values (
    date_bin('15 minutes', v_event.occurred_at, 'epoch'), pg_backend_pid() % 8, 0, 0, 0, 0, 0, 0, v_difference
  )
  on conflict (bucket, shard) do update set nano_usd = t.nano_usd + excluded.nano_usd;
end
$$;
comment on function private.change_event_money(public.generations, text, bigint) is
  'Changes what upstream charges for the event of a closed generation, in its rollups too; nothing where that is not known, or the event is gone.';
