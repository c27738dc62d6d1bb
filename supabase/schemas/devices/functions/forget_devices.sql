create or replace function private.forget_devices(p_user_id uuid, p_actor text)
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  perform from public.budgets where subject_kind = 'device' for update;
  -- A debit under way holds its device's balance: none records the person after their name was taken out.
  perform from public.balances b
    where b.subject_id in (select d.id from public.devices d where d.first_user_id = p_user_id)
    order by b.subject_id for update;
  perform private.close_device(d.id, p_actor, 'account deleted')
     from public.devices d where d.first_user_id = p_user_id and d.deleted_at is null order by d.id;
  -- What they sent before they were linked.
  delete from public.feature_events e
   where e.user_id is null and e.device_id = any (array(select d.id from public.devices d where d.first_user_id = p_user_id));
  -- Those an admin removed before have a name, too.
  update public.devices set name = 'Deleted device', user_id = null, first_user_id = null where first_user_id = p_user_id;
end
$$;
comment on function private.forget_devices(uuid, text) is
  'Removes all devices that were ever linked to an account that is deleted: their tokens die, and name, fingerprint and owner are blanked.';
