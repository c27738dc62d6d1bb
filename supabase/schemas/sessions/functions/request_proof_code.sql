create or replace function public.request_proof_code(p_caller jsonb, p_code_hash text, p_mail text)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes codes, mails and counters, which no API role may. Returns a refusal instead of raising it, so that it is counted.
declare
  v_user_id uuid := private.lock_user(p_caller);
  v_wait integer := private.count_attempt('proof:account', v_user_id::text, 3, interval '15 minutes');
begin
  if not p_caller ? 'session_id' then
    raise sqlstate 'PT400' using message = 'NO_SESSION';
  elsif v_wait is not null then
    return jsonb_build_object('allowed', false, 'retry_after', v_wait);
  end if;
  insert into private.proof_codes as c (session_id, code_hash, expires_at)
  values ((p_caller ->> 'session_id')::uuid, decode(p_code_hash, 'hex'), now() + interval '5 minutes')
  on conflict (session_id) do update set code_hash = excluded.code_hash, expires_at = excluded.expires_at;
  perform private.queue_mail(
    'proof_code', (select u.email from public.users u where u.id = v_user_id), (p_caller ->> 'session_id')::uuid, p_mail, interval '5 minutes'
  );
  return jsonb_build_object('allowed', true);
end
$$;
grant execute on function public.request_proof_code(jsonb, text, text) to service_role;
comment on function public.request_proof_code(jsonb, text, text) is
  'Makes this code (HMAC, hex) the one that proves the calling session for 5 minutes; at most 3 in 15 minutes. Queues the sealed mail with it. Returns {allowed} or {allowed, retry_after}; raises NO_SESSION.';
