/**
 * An element of the page's own markup.
 * @throws where the markup lacks it
 */
export function element<E extends Element>(id: string, kind: new () => E): E {
  const found = document.getElementById(id);
  if (found instanceof kind) return found;
  throw new Error(`the page lacks ${id}`);
}

/** A new element; strings become text, never markup, as names of models and pages come from strangers. */
export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  className = '',
  ...children: readonly (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  if (className !== '') made.className = className;
  made.append(...children);
  return made;
}

/** The cell that names a row or a column of a table. */
export function headerCell(scope: 'col' | 'row', className: string, ...children: readonly (Node | string)[]) {
  const cell = make('th', className, ...children);
  cell.scope = scope;
  return cell;
}
