-- The caller holds the device's balance, which serialises calls with this key.
create or replace function private.repeated_answer(
  p_device_id uuid, p_earlier private.device_keys, p_request_hash bigint
)
returns jsonb
language plpgsql stable set search_path = ''
as $$
declare
  v_event_id uuid;
begin
  if p_earlier.request_hash <> p_request_hash then
    return '{"code": "IDEMPOTENCY_MISMATCH"}';
  elsif p_earlier.answer is not null then
    return p_earlier.answer;
  end if;
  v_event_id := private.keyed_event_id(p_earlier.key, p_earlier.created_at);
  return jsonb_build_object(
    'event_id', v_event_id,
    'tokens_used', (
      select e.cost from public.usage_events e
       where e.subject_id = p_device_id and e.occurred_at = p_earlier.created_at and e.id = v_event_id
    ),
    'remaining', p_earlier.remaining
  );
end
$$;
comment on function private.repeated_answer(uuid, private.device_keys, bigint) is
  'Returns the answer a device was given to an idempotency key before, made of its event where it was a debit; {code: IDEMPOTENCY_MISMATCH} for another request.';
