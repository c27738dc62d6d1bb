/** Shows a box that selects a row, or all rows. @param shown whether its label is there to the eye, too */
export function SelectBox({
  label,
  shown = false,
  checked,
  onChecked,
}: {
  readonly label: string;
  readonly shown?: boolean;
  readonly checked: boolean;
  readonly onChecked: (checked: boolean) => void;
}) {
  return (
    <label class="select-box">
      <input type="checkbox" checked={checked} onChange={({ currentTarget }) => onChecked(currentTarget.checked)} />
      <span class={shown ? '' : 'hidden'}>{label}</span>
    </label>
  );
}
