import { readImageSize } from './image-size.js';
import { findMediaKind } from './media-kind.js';

/** Bytes of text that hardly ever are more than one token, so that a hold is too large rather than too small. */
export const BYTES_PER_TOKEN = 3;
/** Most tokens an image costs: the largest that models look at. */
export const MAX_IMAGE_TOKENS = 5_000;
/** Most tokens one part is held for; text has no ceiling. The formulas and their sources are in docs/chat.md. */
const CEILINGS = { image: MAX_IMAGE_TOKENS, audio: 120_000, video: 300_000, pdf: 300_000 } as const;
/** An image costs a token for every 750 pixels, at least as much as one tile. */
const PIXELS_PER_TOKEN = 750;
const MIN_IMAGE_TOKENS = 258;
const LOW_DETAIL_TOKENS = 258;
/** Audio costs 32 tokens a second; compressed audio is taken to have 16 kbit/s, as speech has at least. */
const AUDIO_TOKENS_PER_SECOND = 32;
const COMPRESSED_AUDIO_BYTES_PER_SECOND = 2_000;
/** Video costs 263 tokens a second, and its sound; it is taken to have 250 kbit/s. */
const VIDEO_TOKENS_PER_SECOND = 263 + AUDIO_TOKENS_PER_SECOND;
const VIDEO_BYTES_PER_SECOND = 31_250;
/** A page of a PDF costs at most 3,000 tokens. */
const PAGE_TOKENS = 3_000;
/** Bytes of a page that is marked as one, and of one that stands compressed in an object stream. */
const MARKED_PAGE_BYTES = 50_000;
const COMPRESSED_PAGE_BYTES = 4_000;

function countImageTokens(bytes: Buffer, isLowDetail: boolean): number {
  if (isLowDetail) return LOW_DETAIL_TOKENS;
  const size = readImageSize(bytes);
  if (size === undefined) return CEILINGS.image;
  return Math.max(Math.ceil((size.width * size.height) / PIXELS_PER_TOKEN), MIN_IMAGE_TOKENS);
}

/** Returns the seconds of a sound: a WAV file says how many bytes one has (RFC 2361, WAVEFORMATEX). */
function countAudioSeconds(bytes: Buffer): number {
  const isWave = bytes.length >= 32 && bytes.toString('latin1', 8, 16) === 'WAVEfmt ';
  const bytesPerSecond = isWave ? bytes.readUInt32LE(28) : 0;
  return bytes.length / (bytesPerSecond || COMPRESSED_AUDIO_BYTES_PER_SECOND);
}

/** Returns the pages of a PDF: those that are marked (ISO 32000-1, §7.7.3.3), or as many as its length may hold. */
function countPages(bytes: Buffer): number {
  const marks = bytes.toString('latin1').match(/\/Type\s*\/Page(?![A-Za-z])/g)?.length ?? 0;
  const pageBytes = marks > 0 ? MARKED_PAGE_BYTES : COMPRESSED_PAGE_BYTES;
  return Math.max(marks, Math.ceil(bytes.length / pageBytes));
}

/** What is known of an attachment besides its bytes. */
interface Declared {
  /** As in `audio/wav`; empty where none is given. */
  readonly mediaType: string;
  /** Whether an image is to be looked at in low resolution. */
  readonly isLowDetail?: boolean;
}

/**
 * Estimates the tokens of an attachment by what it is decoded to.
 * @returns tokens, at most the ceiling of its kind
 */
export function estimateAttachment(bytes: Buffer, { mediaType, isLowDetail = false }: Declared): number {
  const kind = findMediaKind(bytes, mediaType);
  switch (kind) {
    case 'image':
      return Math.min(countImageTokens(bytes, isLowDetail), CEILINGS.image);
    case 'audio':
      return Math.min(Math.ceil(countAudioSeconds(bytes) * AUDIO_TOKENS_PER_SECOND), CEILINGS.audio);
    case 'video':
      return Math.min(Math.ceil((bytes.length / VIDEO_BYTES_PER_SECOND) * VIDEO_TOKENS_PER_SECOND), CEILINGS.video);
    case 'pdf':
      return Math.min(countPages(bytes) * PAGE_TOKENS, CEILINGS.pdf);
    default:
      return Math.ceil(bytes.length / BYTES_PER_TOKEN);
  }
}
