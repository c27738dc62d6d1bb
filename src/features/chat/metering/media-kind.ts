/** What an attachment is, as far as its tokens are concerned. */
export type MediaKind = 'image' | 'audio' | 'video' | 'pdf' | 'text';

/** First bytes of the formats models read, as ISO 8859-1 (WHATWG MIME Sniffing, §6). None of them can begin a text. */
const SIGNATURES: readonly (readonly [start: string, kind: MediaKind])[] = [
  ['%PDF-', 'pdf'],
  ['\x89PNG', 'image'],
  ['GIF87a', 'image'],
  ['GIF89a', 'image'],
  ['\xff\xd8\xff', 'image'],
  ['ID3\x02', 'audio'],
  ['ID3\x03', 'audio'],
  ['ID3\x04', 'audio'],
  ['OggS\0', 'audio'],
  ['fLaC\0', 'audio'],
  ['\xff\xf1', 'audio'],
  ['\xff\xf9', 'audio'],
  ['\xff\xf3', 'audio'],
  ['\xff\xfb', 'audio'],
  ['\x1aE\xdf\xa3', 'video'],
  ['\0\0\x01\xba', 'video'],
];
/** Formats of containers: RIFF and IFF name them at byte 8, ISO 14496-12 files as their brand. */
const CONTAINED: readonly (readonly [container: RegExp, kind: MediaKind])[] = [
  [/^RIFF.{4}WEBP/s, 'image'],
  [/^(RIFF.{4}WAVE|FORM.{4}AIF[FC])/s, 'audio'],
  [/^RIFF.{4}AVI /s, 'video'],
  [/^.{4}ftyp(avif|avis|hei[cx]|mif1|msf1)/s, 'image'],
  [/^.{4}ftypM4[AB]/s, 'audio'],
  [/^.{4}ftyp/s, 'video'],
];
/** Media types of text. */
const TEXT_TYPES = /^(text\/|image\/svg|application\/([\w.-]+\+)?(json|xml|javascript|x-ndjson|yaml))/i;
const DECLARED: readonly (readonly [type: RegExp, kind: MediaKind])[] = [
  [/^image\//i, 'image'],
  [/^audio\//i, 'audio'],
  [/^video\//i, 'video'],
];

/** Text that is declared as something else. */
const PRINTABLE = /^[\t\n\r -~]+$/;

function findSignature(start: string): MediaKind | undefined {
  const [, kind] =
    SIGNATURES.find(([signature]) => start.startsWith(signature)) ??
    CONTAINED.find(([container]) => container.test(start)) ??
    [];
  return kind;
}

/**
 * Returns what bytes are: by what they begin with, and where that says nothing by what they are declared as. What is
 * declared as text is text, whatever it begins with, and so is what only looks like text.
 *
 * @param mediaType as in `audio/wav`; empty where none is known
 */
export function findMediaKind(bytes: Buffer, mediaType: string): MediaKind {
  if (TEXT_TYPES.test(mediaType)) return 'text';
  const start = bytes.toString('latin1', 0, 64);
  const signed = findSignature(start);
  if (signed !== undefined) return signed;
  const [, declared] = DECLARED.find(([type]) => type.test(mediaType)) ?? [];
  return declared === undefined || PRINTABLE.test(start) ? 'text' : declared;
}
