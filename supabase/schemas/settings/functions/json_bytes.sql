create or replace function private.json_bytes(p_document jsonb)
returns integer
language sql immutable strict set search_path = ''
as $$ select octet_length(regexp_replace(p_document::text, '("(?:[^"\\]|\\.)*")|[ ]', '\1', 'g')) $$;
comment on function private.json_bytes(jsonb) is
  'Returns length of a document as JSON in bytes, without the blanks Postgres writes between its parts.';
