import escapeHtml from 'escape-html';
import type { MailBody } from './mailer.js';

/** What a mail says: sentences, and perhaps a link between them. */
export interface MailContent {
  readonly subject: string;
  /** Paragraphs before the link. */
  readonly opening: readonly string[];
  readonly link?: string;
  /** Paragraphs after it. */
  readonly closing: readonly string[];
}

/** Composes a mail as plain text and as HTML with the same words. */
export function composeMail({ subject, opening, link, closing }: MailContent): MailBody {
  const href = link === undefined ? undefined : escapeHtml(link);
  const paragraphs = [
    ...opening.map(escapeHtml),
    ...(href === undefined ? [] : [`<a href="${href}">${href}</a>`]),
    ...closing.map(escapeHtml),
  ];
  return {
    subject,
    text: [...opening, ...(link === undefined ? [] : [link]), ...closing].flatMap((line) => [line, '']).join('\n'),
    html: `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>${escapeHtml(subject)}</title></head>
<body style="font-family: sans-serif; line-height: 1.5">
${paragraphs.map((paragraph) => `<p>${paragraph}</p>`).join('\n')}
</body>
</html>
`,
  };
}
