import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import type { Test } from 'tap';
import { until } from '../until.js';

/** A mail as it arrived. */
export interface ReceivedMail {
  /** Sender and recipients of the envelope. */
  readonly from: string;
  readonly to: readonly string[];
  /** Headers of the whole message, names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  readonly text: string;
  readonly html: string;
}

/** A mail server on loopback that keeps what it is given. */
export interface SmtpServer {
  readonly url: string;
  readonly mails: readonly ReceivedMail[];
  /** Connections made so far. */
  readonly connections: () => number;
  /** Greets those who wait for it, and everybody from now on. */
  readonly greet: () => void;
  /** Waits for the n-th mail. */
  readonly mail: (n: number) => Promise<ReceivedMail>;
  /** Ends every connection and takes no more. */
  readonly close: () => Promise<void>;
}

function headersOf(block: string): Map<string, string> {
  const lines = block.replace(/\r\n[ \t]+/g, ' ').split('\r\n');
  return new Map(
    lines.map((line) => {
      const [name = '', value = ''] = line.split(/:\s*(.*)/);
      return [name.toLowerCase(), value];
    }),
  );
}

function decode(body: string, encoding: string): string {
  if (encoding === 'base64') return Buffer.from(body, 'base64').toString();
  if (encoding !== 'quoted-printable') return body;
  const bytes = body
    .replace(/=\r\n/g, '')
    .replace(/=([0-9A-F]{2})/g, (_code, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Buffer.from(bytes, 'latin1').toString();
}

function parse(from: string, to: readonly string[], message: string): ReceivedMail {
  const [head = '', ...rest] = message.split('\r\n\r\n');
  const headers = headersOf(head);
  const boundary = /boundary="?([^";]+)/.exec(headers.get('content-type') ?? '')?.[1];
  const parts = rest
    .join('\r\n\r\n')
    .split(`--${boundary}`)
    .map((part) => {
      const [partHead = '', ...body] = part.replace(/^\r\n/, '').split('\r\n\r\n');
      const of = headersOf(partHead);
      const encoding = of.get('content-transfer-encoding') ?? '';
      return { type: of.get('content-type') ?? '', content: decode(body.join('\r\n\r\n'), encoding) };
    });
  const content = (type: string) => parts.find((part) => part.type.startsWith(type))?.content ?? '';
  return { from, to, headers, text: content('text/plain'), html: content('text/html') };
}

/** Speaks RFC 5321 as far as a client needs it that neither encrypts nor logs in. */
function converse(socket: Socket, keep: (mail: ReceivedMail) => void, refusal: (line: string) => string | undefined) {
  let buffer = '';
  let from = '';
  let to: string[] = [];
  let inData = false;
  const say = (line: string) => socket.write(`${line}\r\n`);

  const takeData = (): boolean => {
    const end = buffer.indexOf('\r\n.\r\n');
    if (end < 0) return false;
    keep(parse(from, to, buffer.slice(0, end).replaceAll('\r\n..', '\r\n.')));
    buffer = buffer.slice(end + 5);
    inData = false;
    say('250 kept');
    return true;
  };
  const takeLine = (): boolean => {
    const end = buffer.indexOf('\r\n');
    if (end < 0) return false;
    const line = buffer.slice(0, end);
    buffer = buffer.slice(end + 2);
    const address = /<([^>]*)>/.exec(line)?.[1] ?? '';
    const refused = refusal(line);
    if (refused !== undefined) say(refused);
    else if (/^STARTTLS/i.test(line)) say('502 no');
    else if (/^EHLO/i.test(line)) say('250-loopback\r\n250 SMTPUTF8');
    else if (/^DATA/i.test(line)) {
      inData = true;
      say('354 go on');
    } else {
      if (/^MAIL/i.test(line)) [from, to] = [address, []];
      if (/^RCPT/i.test(line)) to.push(address);
      say('250 ok');
    }
    return true;
  };
  socket.on('data', (chunk) => {
    buffer += chunk.toString('utf8');
    while (inData ? takeData() : takeLine());
  });
}

/**
 * Starts a mail server; it ends with the test.
 *
 * @param options.silent it accepts connections but does not greet until told to
 * @param options.refusal what to answer instead to a line of the client, or undefined to go on
 */
export async function openSmtpServer(
  t: Test,
  options: { readonly silent?: boolean; readonly refusal?: (line: string) => string | undefined } = {},
): Promise<SmtpServer> {
  const mails: ReceivedMail[] = [];
  const sockets = new Set<Socket>();
  let connections = 0;
  let silent = options.silent ?? false;
  const greeting = '220 loopback ready\r\n';
  const server = createServer((socket) => {
    connections += 1;
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    converse(socket, (mail) => mails.push(mail), options.refusal ?? (() => undefined));
    if (!silent) socket.write(greeting);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const close = async () => {
    if (!server.listening) return;
    const closed = once(server, 'close');
    server.close();
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  t.after(close);
  return {
    url: `smtp://127.0.0.1:${port}`,
    mails,
    connections: () => connections,
    greet: () => {
      silent = false;
      for (const socket of sockets) socket.write(greeting);
    },
    mail: (n) => until(`mail ${n} arrives`, () => mails[n - 1]),
    close,
  };
}
