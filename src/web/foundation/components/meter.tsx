import { formatCount, formatShare } from '../format.js';

/** Shows how much of something is used and set aside. The numbers must stand beside it: it is for the eye. */
export function Meter({
  used,
  reserved = 0,
  all,
}: {
  readonly used: number;
  readonly reserved?: number;
  readonly all: number;
}) {
  const share = (value: number) => `${all <= 0 ? 0 : Math.min(100, Math.max(0, (value / all) * 100))}%`;
  const isLow = all > 0 && (used + reserved) / all >= 0.9;
  return (
    <div class={isLow ? 'meter low' : 'meter'} aria-hidden="true" title={formatShare(used, all)}>
      <span class="used" style={{ inlineSize: share(used) }} />
      <span class="reserved" style={{ inlineSize: share(reserved) }} />
    </div>
  );
}

/** Shows a number that counts, with what it is. */
export function Figure({
  label,
  value,
  note,
}: {
  readonly label: string;
  readonly value: number | string;
  readonly note?: string;
}) {
  return (
    <div class="figure">
      <dt>{label}</dt>
      <dd>{typeof value === 'number' ? formatCount(value) : value}</dd>
      {note !== undefined && <dd class="quiet">{note}</dd>}
    </div>
  );
}
