create or replace function public.verify_person(p_person uuid, p_tokens bigint default 0, p_why text default null)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
begin
  return private.mark_verified(
    private.by_hand(p_why), private.require_hand_person(p_person), greatest(coalesce(p_tokens, 0), 0)
  );
end
$$;
comment on function public.verify_person(uuid, bigint, text) is
  'For the SQL editor: marks a person''s address as proved, and pays the first tokens where they were not. Returns the account.';
