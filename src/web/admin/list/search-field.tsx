import { useEffect, useState } from 'preact/hooks';
import { Field } from '../../foundation/components/field.js';

/** How long somebody does not type before it is searched for, in milliseconds. */
const PAUSE_MS = 300;

/** Shows a field to search with; it tells what is typed after a pause, and at once when Enter is pressed. */
export function SearchField({
  label,
  value,
  onSearch,
}: {
  readonly label: string;
  readonly value: string;
  readonly onSearch: (text: string) => void;
}) {
  // What is typed belongs to what is searched for: of another search nothing is left, at once.
  const [{ of, text }, setTyping] = useState({ of: value, text: value });
  const typed = of === value ? text : value;
  useEffect(() => {
    if (typed.trim() === value) return;
    const timer = setTimeout(() => onSearch(typed.trim()), PAUSE_MS);
    return () => clearTimeout(timer);
  }, [typed, value]);
  return (
    <div class="search">
      <Field
        type="search"
        label={label}
        value={typed}
        onValue={(text) => setTyping({ of: value, text })}
        autocomplete="off"
        spellcheck={false}
        onKeyDown={({ key }) => {
          if (key === 'Enter') onSearch(typed.trim());
        }}
      />
    </div>
  );
}
