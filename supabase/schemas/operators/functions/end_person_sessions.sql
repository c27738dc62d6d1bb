create or replace function public.end_person_sessions(p_person uuid, p_api_keys boolean default false, p_why text default null)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
begin
  return private.close_account_sessions(private.by_hand(p_why), private.require_hand_person(p_person), coalesce(p_api_keys, false));
end
$$;
comment on function public.end_person_sessions(uuid, boolean, text) is
  'For the SQL editor: ends every session of a person and, with true, every API key. Returns {ended, api_keys}.';
