create or replace function private.take_name_out_of_usage(p_user_id uuid)
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  perform private.thaw_named_usage(p_user_id);
  update public.usage_events set user_id = null, url = null
   where user_id = p_user_id and user_id is distinct from subject_id;
end
$$;
comment on function private.take_name_out_of_usage(uuid) is
  'Makes anonymous what devices recorded in the name of an account that is deleted.';
