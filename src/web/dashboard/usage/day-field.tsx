import { useEffect, useRef, useState } from 'preact/hooks';
import { Field } from '../../foundation/components/field.js';
import { isDay } from './range.js';

/** Somebody who types a year writes those of antiquity on the way. */
const FIRST_DAY = '2000-01-01';

/** Shows a day to choose or type. What is being typed stays as it is, whatever the view shows by then. */
export function DayField({
  label,
  day,
  onDay,
  error,
}: {
  readonly label: string;
  readonly day: string;
  readonly onDay: (day: string) => void;
  readonly error?: string | undefined;
}) {
  const [typed, setTyped] = useState(day);
  const typing = useRef(false);
  useEffect(() => {
    if (!typing.current) setTyped(day);
  }, [day]);
  const take = (text: string) => {
    setTyped(text);
    if (isDay(text) && text >= FIRST_DAY) onDay(text);
  };
  return (
    <Field
      type="date"
      label={label}
      value={typed}
      onValue={take}
      error={error}
      min={FIRST_DAY}
      onFocus={() => {
        typing.current = true;
      }}
      onBlur={() => {
        typing.current = false;
        setTyped(day);
      }}
    />
  );
}
