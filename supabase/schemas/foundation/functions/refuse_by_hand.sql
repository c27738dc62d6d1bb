-- The only function here that leaves search_path as it is, since that tells who writes: every other one pins it to nothing,
-- and so does what restores a backup, unlike a table editor and whoever types SQL. As a condition of the trigger it would
-- be compiled again at each statement; here it is a comparison, since metering pays for it.
create or replace function private.refuse_by_hand()
returns trigger
language plpgsql volatile
as $$
begin
  if pg_catalog.current_setting('search_path') operator(pg_catalog.=) any (array['""', '']) then
    return null;
  end if;
  perform private.judge_hand(tg_table_schema, tg_table_name, tg_op, tg_argv[0], tg_argv[1]);
  return null;
end
$$;
comment on function private.refuse_by_hand() is
  'Trigger: has judge_hand look at a change made by SQL outside the functions. Takes the sentence that names the function to call, and cascade where rows may go with others.';
