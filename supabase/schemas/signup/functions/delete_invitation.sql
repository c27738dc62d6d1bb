create or replace function public.delete_invitation(p_actor jsonb, p_id uuid)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes invitations, which no API role may.
declare
  v_actor text := private.require_admin(p_actor);
begin
  delete from private.invitations where id = p_id;
  if not found then
    raise sqlstate 'PT404' using message = 'INVITATION_NOT_FOUND';
  end if;
  perform private.audit(v_actor, p_actor ->> 'request_id', 'delete_invitation', 'invitation:' || p_id, null, null);
  return jsonb_build_object('deleted', true);
end
$$;
grant execute on function public.delete_invitation(jsonb, uuid) to service_role;
comment on function public.delete_invitation(jsonb, uuid) is
  'Removes an invitation, which nobody can redeem any more; an account made with it stays. Returns {deleted}; raises INVITATION_NOT_FOUND.';
