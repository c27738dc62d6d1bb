const SHOWN = 8;

/** Shows the beginning of an id; the whole of it is what a pointer or a screen reader finds. */
export function ShortId({ id }: { readonly id: string }) {
  return (
    <code class="keep" title={id}>
      {id.slice(0, SHOWN)}
      <span aria-hidden="true">…</span>
    </code>
  );
}
