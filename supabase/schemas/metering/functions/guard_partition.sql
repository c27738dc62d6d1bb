-- Triggers that fire once a statement are not inherited: a month is guarded where it is addressed itself.
create or replace function private.guard_partition(p_name text)
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  execute format(
    $trigger$
      create or replace trigger by_hand
        before insert or update or delete or truncate on private.%1$I
        for each statement execute function private.refuse_by_hand(%2$L);
      alter table private.%1$I enable always trigger by_hand;
    $trigger$,
    p_name,
    'events, their sums and their debits are written together, by meter_devices(), meter_chat() and record_usage(); to make up for a use call grant_tokens(subject, tokens, ''why'')'
  );
end
$$;
comment on function private.guard_partition(text) is 'Refuses changes by hand of one month of usage events, see refuse_by_hand.';
