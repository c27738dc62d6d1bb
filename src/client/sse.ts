/** Reads the `data` of server-sent events as they come (HTML, §9.2.6): comments, names and ids are left out. */
export async function* readEvents(body: ReadableStream<Uint8Array> | null): AsyncGenerator<string, void, undefined> {
  if (body === null) return;
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = '';
  let data: string[] = [];
  try {
    for (;;) {
      const { done, value } = await reader.read();
      // A line that ends in CR may go on with LF in the next chunk.
      const lines = (rest + decoder.decode(value, { stream: !done })).split(/\r\n|\n|\r(?!$)/);
      rest = lines.pop() ?? '';
      for (const line of lines) {
        if (line === '') {
          if (data.length > 0) yield data.join('\n');
          data = [];
        } else if (/^data(:|$)/.test(line)) data.push(line.replace(/^data:? ?/, ''));
      }
      if (done) return;
    }
  } finally {
    // Whoever reads no further has the request ended too.
    await reader.cancel().catch(() => {});
  }
}
