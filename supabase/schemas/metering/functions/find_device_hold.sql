-- The caller holds the device's balance, and names the holds it has settled without having written that yet.
create or replace function private.find_device_hold(
  p_device_id uuid, p_id uuid, p_settled uuid[], out refusal jsonb, out hold public.reservations
)
language plpgsql stable set search_path = ''
as $$
begin
  select r.* into hold from public.reservations r where r.id = p_id and r.subject_id = p_device_id;
  if not found then
    refusal := '{"code": "RESERVATION_NOT_FOUND"}';
  elsif hold.status = 'settled' or hold.id = any (p_settled) then
    refusal := '{"code": "RESERVATION_SETTLED"}';
  elsif hold.status <> 'held' or hold.expires_at <= now() then
    -- It guarantees nothing any more: its usage is debited like any other.
    hold := null;
  end if;
end
$$;
comment on function private.find_device_hold(uuid, uuid, uuid[]) is
  'Returns the hold that a debit names, null where it has expired, or the refusal {code} where the device has none of this id or it is settled. The balance must be locked by the caller.';
