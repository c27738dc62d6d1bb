-- TO DESCRIBE: what changes, and why.

set check_function_bodies = off;

create or replace function public.meter_chat(p_items jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: the only writer of generations; no API role may write balances, holds or events itself.
declare
  v_item record;
  v_generation public.generations;
  v_balance public.balances;
  v_status text;
  v_output bigint;
  v_subjects uuid[];
  v_answer jsonb;
  v_answers jsonb[] := '{}';
  v_events public.usage_events[] := '{}';
begin
  select array_agg(distinct s.subject_id) into v_subjects
    from (
      select coalesce(g.subject_id, i.id, e.user_id) as subject_id
        from jsonb_to_recordset(p_items) as i(op text, id uuid, google_subject text, hold uuid)
        left join public.generations g on g.id = i.hold and i.op <> 'reserve'
        left join private.external_identities e on e.provider = 'google' and e.subject = i.google_subject
    ) s;
  perform from public.balances b where b.subject_id = any (v_subjects) order by b.subject_id for update;
  if exists (
    select from public.reservations r
     where r.subject_id = any (v_subjects) and r.status = 'held' and r.expires_at <= now()
  ) then
    -- A server that comes back late knows better what its stream came to than the hold does.
    perform private.settle_lost_generations(
      v_subjects, now(), array(select (i ->> 'hold')::uuid from jsonb_array_elements(p_items) i)
    );
  end if;

  for v_item in
    select i.*, coalesce(i.id, e.user_id) as user_id
      from rows from (
        jsonb_to_recordset(p_items) as (
          op text, id uuid, session_id uuid, api_key_id uuid, google_subject text, hold uuid, source text, model text,
          input_estimate bigint, output_tokens bigint, idempotency_key text, request_hash text, provider text,
          upstream_id text, provenance text, input_tokens bigint
        )
      ) with ordinality as i(
        op, id, session_id, api_key_id, google_subject, hold, source, model, input_estimate, output_tokens,
        idempotency_key, request_hash, provider, upstream_id, provenance, input_tokens, ord
      )
      left join private.external_identities e on e.provider = 'google' and e.subject = i.google_subject
     order by i.ord
  loop
    v_answer := null;
    if v_item.op = 'reserve' then
      select b.* into v_balance from public.balances b where b.subject_id = v_item.user_id;
      v_output := least(
        v_item.output_tokens, v_balance.allocated - v_balance.used - v_balance.reserved - v_item.input_estimate
      );
      v_answer := case
        when v_item.google_subject is not null and v_item.user_id is null then '{"code": "USER_NOT_FOUND"}'
        when v_balance.subject_id is null
          or not private.is_credential_valid(v_item.user_id, v_item.session_id, v_item.api_key_id) then '{"code": "INVALID_TOKEN"}'
        -- Some answers, such as embeddings, have no tokens; all others have one at least.
        when v_output < least(v_item.output_tokens, 1) then jsonb_build_object(
          'code', 'INSUFFICIENT_TOKENS', 'requested', v_item.input_estimate + least(v_item.output_tokens, 1),
          'remaining', v_balance.allocated - v_balance.used - v_balance.reserved
        )
      end;
      if v_answer is null and v_item.idempotency_key is not null then
        insert into private.idempotency_keys (subject_id, key, request_hash, answer)
        values (
          v_item.user_id, v_item.idempotency_key, decode(v_item.request_hash, 'hex'),
          jsonb_build_object('hold', v_item.hold)
        )
        on conflict (subject_id, key) do nothing;
        if not found then
          -- The answer was not kept, so it cannot be given again; it must not be paid for again either.
          select jsonb_build_object('code', case
                   when k.request_hash = decode(v_item.request_hash, 'hex') then 'ALREADY_ANSWERED'
                   else 'IDEMPOTENCY_MISMATCH'
                 end)
            into strict v_answer
            from private.idempotency_keys k
           where k.subject_id = v_item.user_id and k.key = v_item.idempotency_key;
        end if;
      end if;
      if v_answer is null then
        update public.balances b
           set reserved = b.reserved + v_item.input_estimate + v_output, updated_at = now()
         where b.subject_id = v_item.user_id
           and b.allocated - b.used - b.reserved >= v_item.input_estimate + v_output
        returning b.* into strict v_balance;
        insert into public.reservations (id, subject_id, amount, model, prompt_count, expires_at)
        values (
          v_item.hold, v_item.user_id, v_item.input_estimate + v_output, v_item.model, 1, now() + interval '5 minutes'
        );
        insert into public.generations (id, subject_id, source, model, input_estimate)
        values (v_item.hold, v_item.user_id, v_item.source, v_item.model, v_item.input_estimate);
        v_answer := jsonb_build_object(
          'output_tokens', v_output, 'remaining', v_balance.allocated - v_balance.used - v_balance.reserved
        );
      end if;
    else
      select g.* into v_generation from public.generations g where g.id = v_item.hold;
      select r.status into v_status from public.reservations r where r.id = v_item.hold;
      select b.* into v_balance from public.balances b where b.subject_id = v_generation.subject_id;
      v_generation.provider := coalesce(v_item.provider, v_generation.provider);
      v_generation.upstream_id := coalesce(v_item.upstream_id, v_generation.upstream_id);
      if v_status is null then
        v_answer := '{"code": "RESERVATION_NOT_FOUND"}';
      elsif v_item.op = 'extend' and v_status <> 'held' then
        v_answer := '{"code": "RESERVATION_SETTLED"}';
      elsif v_item.op = 'extend' then
        -- Also with nothing to add: a running stream says that it is still there, and what upstream calls it.
        v_output := least(v_item.output_tokens, v_balance.allocated - v_balance.used - v_balance.reserved);
        update public.balances b
           set reserved = b.reserved + v_output, updated_at = now()
         where b.subject_id = v_generation.subject_id and v_output > 0;
        update public.reservations r
           set amount = r.amount + v_output, expires_at = now() + interval '5 minutes'
         where r.id = v_item.hold;
        update public.generations g
           set provider = v_generation.provider, upstream_id = v_generation.upstream_id
         where g.id = v_item.hold
           and (g.provider, g.upstream_id) is distinct from (v_generation.provider, v_generation.upstream_id);
        v_answer := jsonb_build_object('output_tokens', v_output);
      elsif v_item.op = 'settle' then
        -- Only the first settlement counts: one that is sent again finds the hold closed.
        if v_status = 'held' and v_item.input_tokens + v_item.output_tokens > 0 then
          v_events := v_events || private.close_generation(
            v_generation, 'settled', v_item.provenance, v_item.input_tokens, v_item.output_tokens
          );
        elsif v_status = 'held' then
          -- What was not billed may be asked for again with the same key.
          delete from private.idempotency_keys k
           where k.subject_id = v_generation.subject_id and k.answer = jsonb_build_object('hold', v_item.hold);
          perform private.close_generation(v_generation, 'released', null, 0, 0);
        end if;
        select jsonb_build_object(
                 'tokens_used', g.input_tokens + g.output_tokens, 'remaining', b.allocated - b.used - b.reserved
               )
          into strict v_answer
          from public.generations g join public.balances b on b.subject_id = g.subject_id
         where g.id = v_item.hold;
      else
        raise exception 'unknown metering operation %', v_item.op using errcode = '22023';
      end if;
    end if;
    v_answers := v_answers || v_answer;
  end loop;

  if cardinality(v_events) > 0 then
    perform private.record_usage_events(v_events);
  end if;
  return to_jsonb(v_answers);
end
$$;
grant execute on function public.meter_chat(jsonb) to service_role;
comment on function public.meter_chat(jsonb) is
  'Takes, extends and settles holds of chat requests in one transaction. Takes an array of {op: reserve, id, session_id | api_key_id or google_subject, hold, source, model, input_estimate, output_tokens, idempotency_key, request_hash}, {op: extend, hold, output_tokens, provider, upstream_id} and {op: settle, hold, input_tokens, output_tokens, provenance, provider, upstream_id}; returns an array in the same order: {output_tokens, remaining}, {output_tokens}, {tokens_used, remaining}, or {code, …} where the item was refused.';

reset check_function_bodies;

-- Notes the SHA-256 of the text above.
select private.record_migration('20261127203218', '3ac20ca344f000302e1aef5502cda15a51c1c222e0ce14462701f40bb8f48e2c');
