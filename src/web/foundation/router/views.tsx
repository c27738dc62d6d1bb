import type { ComponentType } from 'preact';
import { match, route } from './router.js';

/** What a view gets: what the names of its pattern stand for. */
export interface ViewProps {
  readonly names: Readonly<Record<string, string>>;
}

/** A view, and the pattern of its path. */
export interface ViewEntry {
  readonly path: string;
  readonly view: ComponentType<ViewProps>;
}

/** Shows the first view whose pattern fits; where none does, the first of all. */
export function Views({ entries }: { readonly entries: readonly ViewEntry[] }) {
  const { path } = route.value;
  for (const { path: pattern, view: View } of entries) {
    const names = match(pattern, path);
    if (names !== undefined) return <View key={path} names={names} />;
  }
  const First = entries[0]?.view;
  return First === undefined ? null : <First names={{}} />;
}
