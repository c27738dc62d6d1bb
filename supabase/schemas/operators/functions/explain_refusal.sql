create or replace function private.explain_refusal(p_code text, p_detail text)
returns text
language sql immutable set search_path = ''
as $$
  select case p_code
    when 'BUDGET_EXCEEDED' then format(
      'The pool has %s tokens left and %s were asked for: set_pool() makes it larger', d.fields ->> 'remaining', d.fields ->> 'requested'
    )
    when 'INSUFFICIENT_TOKENS' then format(
      'Only %s tokens are neither used nor held, and %s were to be taken', d.fields ->> 'remaining', d.fields ->> 'requested'
    )
    when 'ALLOCATION_TOO_LARGE' then 'No balance can hold that many tokens'
    when 'SELF_TRANSFER' then 'Tokens move between two: both are the same'
    when 'IDEMPOTENCY_MISMATCH' then 'This key was used for something else before: take another one'
    when 'SUBSCRIPTION_RUNNING' then 'The person has a subscription at Stripe, which has to be ended there first'
    when 'EMAIL_TAKEN' then 'Somebody has this address already: find_person() finds them'
    when 'ALREADY_RESET' then 'A period has ended in this month already: a second argument of true ends another'
    when 'DEVICE_NOT_FOUND' then 'There is no such device: device_overview lists them'
    when 'USER_NOT_FOUND' then 'There is no such person: user_overview lists them'
    else p_code
  end
    from (select coalesce(nullif(p_detail, '')::jsonb, '{}') as fields) d
$$;
comment on function private.explain_refusal(text, text) is
  'Returns the code and detail of a refusal as a sentence, for people who write SQL by hand; anything else as it is.';
