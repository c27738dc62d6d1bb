create or replace function public.suspend_person(p_person uuid, p_why text default null)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
begin
  perform private.require_hand_person(p_person);
  if exists (select from public.users u where u.id = p_person and (u.suspended_at is not null) = true) then
    return private.account_json(p_person);
  end if;
  return private.set_suspension(private.by_hand(p_why), p_person, true);
end
$$;
comment on function public.suspend_person(uuid, text) is
  'For the SQL editor: keeps a person, their keys and devices from everything, from the very next request on, with an audit line. Does nothing where that is so already. Returns the account.';
