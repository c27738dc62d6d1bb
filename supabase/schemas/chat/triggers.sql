-- What by hand may do, see private.refuse_by_hand(): also while session_replication_role is replica.
create or replace trigger by_hand
  before insert or update or delete or truncate on public.generations
  for each statement execute function private.refuse_by_hand('they are settled by meter_chat() and correct_generation(); to make up for one call grant_tokens(person, tokens, ''why'')');
alter table public.generations enable always trigger by_hand;

create or replace trigger by_hand
  before truncate on public.model_weights
  for each statement execute function private.refuse_by_hand('delete the rows you mean, or call set_model_weights()');
alter table public.model_weights enable always trigger by_hand;

create or replace trigger by_hand_row
  after insert or update or delete on public.model_weights
  for each row when (pg_catalog.current_setting('search_path') not in ('', '""'))
  execute function private.record_by_hand('model', 'model', 'input_weight,output_weight,source,comment,updated_at', 'input_weight,output_weight,source,comment', 'insert a row for another model, as set_model_weights() does');
alter table public.model_weights enable always trigger by_hand_row;
