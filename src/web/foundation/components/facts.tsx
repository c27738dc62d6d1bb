import type { ComponentChildren } from 'preact';

/** What is said about something: a name, and what stands there. */
export type Fact = readonly [label: string, value: ComponentChildren];

/** Shows facts below each other, each in a line. */
export function Facts({ facts }: { readonly facts: readonly (Fact | false | undefined)[] }) {
  return (
    <dl class="facts">
      {facts
        .filter((fact) => fact !== false && fact !== undefined)
        .map(([label, value]) => (
          <div key={label}>
            <dt>{label}</dt>
            <dd>{value}</dd>
          </div>
        ))}
    </dl>
  );
}
