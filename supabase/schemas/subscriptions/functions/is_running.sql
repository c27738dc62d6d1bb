-- Statuses in which Stripe goes on with a subscription, paid or not.
create or replace function private.is_running(p_status text)
returns boolean
language sql immutable set search_path = ''
as $$ select p_status in ('trialing', 'active', 'past_due', 'unpaid', 'paused') $$;
comment on function private.is_running(text) is 'Returns whether a subscription of this status may still be billed.';
