create or replace function public.remove_person_second_factor(p_person uuid, p_why text default null)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
begin
  if not private.has_second_factor(private.require_hand_person(p_person)) then
    return jsonb_build_object('removed', false, 'ended', 0);
  end if;
  return private.take_second_factor(private.by_hand(p_why), p_person, null);
end
$$;
comment on function public.remove_person_second_factor(uuid, text) is
  'For the SQL editor: removes the second factor of a person who lost it, ends their sessions, with an audit line. Does nothing where there is none. Returns {removed, ended}.';
