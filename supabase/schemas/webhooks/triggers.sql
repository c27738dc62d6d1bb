create or replace trigger devices_emit_registered
  after insert on public.devices
  for each row execute function private.emit_device_event();

create or replace trigger devices_emit_blocked
  after update of blocked on public.devices
  for each row when (new.blocked and not old.blocked) execute function private.emit_device_event();

create or replace trigger subscriptions_emit_begun
  after insert on public.subscriptions
  for each row when (new.status <> 'none') execute function private.emit_subscription_event();

create or replace trigger subscriptions_emit_changed
  after update on public.subscriptions
  for each row when (
    (old.tier, old.status, old.current_period_end, old.cancel_at_period_end, old.returned_tier)
    is distinct from (new.tier, new.status, new.current_period_end, new.cancel_at_period_end, new.returned_tier)
  ) execute function private.emit_subscription_event();

create or replace trigger periods_emit_reset
  after insert on public.periods
  for each row when (new.number > 1) execute function private.emit_period_event();

-- What by hand may do, see private.refuse_by_hand(): also while session_replication_role is replica.
create or replace trigger by_hand
  before insert or update or delete or truncate on private.webhook_endpoints
  for each statement execute function private.refuse_by_hand('call create_webhook() or delete_webhook(), as the admin API does');
alter table private.webhook_endpoints enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.webhook_deliveries
  for each statement execute function private.refuse_by_hand('deliveries are written by emit_event() and go by prune_webhooks(); redeliver_webhook() sends one again', 'cascade');
alter table private.webhook_deliveries enable always trigger by_hand;
