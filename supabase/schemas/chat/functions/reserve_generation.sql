-- The item is one of meter_chat's. The caller has locked the balance, takes the hold's amount from it, and inserts the hold
-- and the generation.
create or replace function private.reserve_generation(
  p_user_id uuid, p_balance public.balances, p_item jsonb,
  out answer jsonb, out hold public.reservations, out generation public.generations
)
language plpgsql volatile set search_path = ''
as $$
declare
  v_hold constant uuid := p_item ->> 'hold';
  v_model constant text := p_item ->> 'model';
  v_input constant bigint := p_item ->> 'input_estimate';
  v_wanted constant bigint := p_item ->> 'output_tokens';
  v_remaining constant bigint := p_balance.remaining;
  v_problem text;
  v_weight public.model_weights;
  v_generation public.generations;
  v_output bigint;
  v_amount bigint;
  v_least bigint;
begin
  if p_user_id is null and p_item ->> 'google_subject' is not null then
    answer := '{"code": "USER_NOT_FOUND"}';
    return;
  elsif v_remaining is null then
    answer := '{"code": "INVALID_TOKEN"}';
    return;
  end if;
  if p_item ->> 'google_subject' is not null
     and not private.is_google_token_proved(p_user_id, p_item ->> 'google_token_hash')
  then
    answer := '{"code": "SECOND_FACTOR_REQUIRED"}';
    return;
  end if;
  v_problem := private.credential_problem(
    p_user_id, (p_item ->> 'session_id')::uuid, (p_item ->> 'api_key_id')::uuid, 'chat'
  );
  if v_problem is not null then
    answer := jsonb_build_object('code', v_problem);
    return;
  end if;

  v_weight := private.find_model_weight(v_model);
  v_generation.input_weight := coalesce(v_weight.input_weight, 1);
  v_generation.output_weight := coalesce(v_weight.output_weight, 1);
  -- Some answers, such as embeddings, have no tokens; all others have one at least.
  v_least := private.weighted_tokens(v_generation, v_input, least(v_wanted, 1));
  if v_remaining < v_least then
    answer := jsonb_build_object('code', 'INSUFFICIENT_TOKENS', 'requested', v_least, 'remaining', v_remaining);
    return;
  end if;
  if p_item ->> 'idempotency_key' is not null then
    v_problem := private.claim_generation_key(p_user_id, p_item);
    if v_problem is not null then
      answer := jsonb_build_object('code', v_problem);
      return;
    end if;
  end if;

  v_output := private.affordable_tokens(
    v_wanted, v_remaining - v_input * v_generation.input_weight, v_generation.output_weight
  );
  v_amount := private.weighted_tokens(v_generation, v_input, v_output);
  answer := jsonb_build_object('output_tokens', v_output, 'remaining', v_remaining - v_amount);
  hold := row(
    v_hold, p_user_id, v_amount, 'held', v_model, 1, null, now() + interval '5 minutes', now(), null
  )::public.reservations;
  -- With its weights and prices, which hold for all of the request, whatever becomes of the model's.
  generation := row(
    v_hold, p_user_id, p_item ->> 'source', v_model, null, null, v_input, null, null, null, 0, null, 0, now(),
    coalesce((p_item ->> 'streamed')::boolean, false), null, null, 0, 0, v_generation.input_weight,
    v_generation.output_weight, (p_item ->> 'input_price')::numeric, (p_item ->> 'output_price')::numeric,
    (p_item ->> 'request_price')::numeric
  )::public.generations;
end
$$;
comment on function private.reserve_generation(uuid, public.balances, jsonb) is
  'Prices a chat request and decides on its hold; the item of somebody with a google_subject has the SHA-256 of their access token in google_token_hash, for accounts with a second factor. Returns the answer {output_tokens, remaining}, with the hold and the generation to insert, or {code, …} alone where it is refused. The balance must be locked by the caller, who takes the hold from it.';
