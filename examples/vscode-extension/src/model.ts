/** Asks a language model; here is where your extension does what it does. */
export async function askModel(prompt: string): Promise<string> {
  return `You asked: ${prompt}`;
}
