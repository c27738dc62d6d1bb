import type { Page } from 'playwright-core';

/** How much lighter or darker a pixel must get by the focus (WCAG 2.4.13). */
const RING_CONTRAST = 3;
/** Pixels around what has the focus that its ring may be in. */
const RING_WIDTH = 6;

/** Where what has the focus is: a field that is hidden itself shows its ring on its label. */
const FOCUSED_BOX = `(() => {
  const it = document.activeElement;
  if (it === null || it === document.body) return null;
  const own = it.getBoundingClientRect();
  const isHidden = own.width < 4 || own.height < 4 || getComputedStyle(it).opacity === '0';
  const { left, top, right, bottom } = isHidden ? (it.closest('label') ?? it).getBoundingClientRect() : own;
  const [x, y] = [Math.max(0, left - ${RING_WIDTH}), Math.max(0, top - ${RING_WIDTH})];
  const width = Math.min(innerWidth, right + ${RING_WIDTH}) - x;
  const height = Math.min(innerHeight, bottom + ${RING_WIDTH}) - y;
  const outline = 2 * (right - left + bottom - top);
  return width > 0 && height > 0 ? { clip: { x, y, width, height }, outline } : null;
})()`;

/** Counts the pixels of two screenshots that differ in their contrast as a focus ring must. */
const COUNT_RING = (focused: string, blurred: string) => `(async () => {
  const read = async (base64) => {
    const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    const image = await createImageBitmap(new Blob([bytes], { type: 'image/png' }));
    const context = new OffscreenCanvas(image.width, image.height).getContext('2d');
    context.drawImage(image, 0, 0);
    return context.getImageData(0, 0, image.width, image.height).data;
  };
  const linear = (value) => (value <= 10 ? value / 3294 : ((value / 255 + 0.055) / 1.055) ** 2.4);
  const light = (data, at) => 0.2126 * linear(data[at]) + 0.7152 * linear(data[at + 1]) + 0.0722 * linear(data[at + 2]);
  const [one, other] = [await read('${focused}'), await read('${blurred}')];
  let count = 0;
  for (let at = 0; at < one.length; at += 4) {
    const [a, b] = [light(one, at) + 0.05, light(other, at) + 0.05];
    if (Math.max(a, b) / Math.min(a, b) >= ${RING_CONTRAST}) count += 1;
  }
  return count / devicePixelRatio ** 2;
})()`;

/** What has the focus, as one sees it. */
export interface Focused {
  /** Where its ring must be. */
  readonly clip: { readonly x: number; readonly y: number; readonly width: number; readonly height: number };
  /** The length of its edges, in pixels. */
  readonly outline: number;
}

/** Finds what has the focus; undefined where nothing has, or where it is out of sight. */
export async function findFocused(page: Page): Promise<Focused | undefined> {
  return (await page.evaluate<Focused | null>(FOCUSED_BOX)) ?? undefined;
}

/** Counts the pixels that get lighter or darker by the focus as a ring must. */
export function countRing(page: Page, focused: Buffer, blurred: Buffer): Promise<number> {
  return page.evaluate<number>(COUNT_RING(focused.toString('base64'), blurred.toString('base64')));
}
