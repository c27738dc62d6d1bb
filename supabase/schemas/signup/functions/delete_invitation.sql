create or replace function public.delete_invitation(p_actor jsonb, p_id uuid)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes invitations, which no API role may.
begin
  perform private.require_admin(p_actor);
  delete from private.invitations where id = p_id;
  if not found then
    raise sqlstate 'PT404' using message = 'INVITATION_NOT_FOUND';
  end if;
  perform private.drop_mails(p_id);
  perform private.audit_admin(p_actor, 'delete_invitation', 'invitation:' || p_id);
  return jsonb_build_object('deleted', true);
end
$$;
grant execute on function public.delete_invitation(jsonb, uuid) to service_role;
comment on function public.delete_invitation(jsonb, uuid) is
  'Removes an invitation, which nobody can redeem any more; an account made with it stays. Returns {deleted}; raises INVITATION_NOT_FOUND.';
