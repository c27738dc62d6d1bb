-- What a stranger counted cannot be told from what the account's own clients did: the account says what is right.
create or replace function private.replace_tracked(p_user_id uuid, p_prompts integer, p_tokens bigint)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_gone public.usage_totals;
  v_period integer;
begin
  perform private.thaw_subject(p_user_id);
  delete from public.usage_events e where e.subject_id = p_user_id and e.source = 'tracker';
  for v_gone in
    with gone as (
      delete from public.usage_rollups r where r.subject_id = p_user_id and r.source = 'tracker' returning r.*
    )
    select g.bucket, 0, sum(g.events), sum(g.prompts), sum(g.input_tokens), sum(g.output_tokens), sum(g.total_tokens), sum(g.cost),
           sum(g.nano_usd)
      from gone g group by g.bucket order by g.bucket
  loop
    perform private.take_out_total(v_gone);
  end loop;
  if p_prompts > 0 or p_tokens > 0 then
    select b.period into v_period from public.balances b where b.subject_id = p_user_id;
    perform private.record_usage_events(array[row(
      gen_random_uuid(), p_user_id, p_user_id, null, 'tracker', 'unknown', 'unknown', p_prompts,
      0, 0, p_tokens, 0, 'client_reported', v_period, null, now(), now(), null
    )::public.usage_events]);
  end if;
end
$$;
comment on function private.replace_tracked(uuid, integer, bigint) is
  'Replaces all that was tracked for an account, in its events, rollups and the totals, by one event of now.';
