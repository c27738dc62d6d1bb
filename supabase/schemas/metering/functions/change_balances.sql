create or replace function private.change_balances(p_subjects uuid[], p_used bigint[], p_reserved bigint[])
returns void
language plpgsql volatile set search_path = '' set plan_cache_mode = 'force_generic_plan'
as $$
begin
  update public.balances b
     set used = b.used + change.used, reserved = b.reserved + change.reserved, updated_at = now()
    from unnest(p_subjects, p_used, p_reserved) as change(subject_id, used, reserved)
   where b.subject_id = change.subject_id;
end
$$;
comment on function private.change_balances(uuid[], bigint[], bigint[]) is
  'Adds to what each of these subjects, named once, has used and reserved; the balances must be locked by the caller.';
