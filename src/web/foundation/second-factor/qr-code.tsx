import { generate } from 'lean-qr';

/** Modules around the code that must stay light, so that cameras find it (ISO/IEC 18004, 9.1). */
const QUIET = 4;

/** Draws the dark modules as one path, a unit each; those side by side are one stroke. */
function toPath(text: string): { readonly size: number; readonly path: string } {
  const code = generate(text);
  const rows = Array.from({ length: code.size }, (_, y) => y);
  const path = rows.map((y) => {
    const row = rows.map((x) => (code.get(x, y) ? '1' : '0')).join('');
    return [...row.matchAll(/1+/g)]
      .map(({ 0: run, index }) => `M${index} ${y}h${run.length}v1h-${run.length}z`)
      .join('');
  });
  return { size: code.size, path: path.join('') };
}

/** Shows a QR code, dark on light in every theme, as cameras want it. @param label says what it is for, to those who do not see it */
export function QrCode({ text, label }: { readonly text: string; readonly label: string }) {
  const { size, path } = toPath(text);
  const whole = size + 2 * QUIET;
  return (
    <svg class="qr-code" viewBox={`${-QUIET} ${-QUIET} ${whole} ${whole}`} role="img" aria-label={label}>
      <rect class="light" x={-QUIET} y={-QUIET} width={whole} height={whole} />
      <path class="dark" d={path} />
    </svg>
  );
}
