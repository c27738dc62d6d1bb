create or replace function private.refuse_change()
returns trigger
language plpgsql set search_path = ''
as $$
begin
  raise exception '% is append-only: %', tg_table_name, tg_argv[0] using errcode = '42501';
end
$$;
comment on function private.refuse_change() is 'Trigger: keeps a table append-only, for its owner too. Takes the sentence that says what to do instead.';
