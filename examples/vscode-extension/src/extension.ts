import { hostname } from 'node:os';
import { type Client, createClient, secretStorage } from 'tokenledger/client';
import * as vscode from 'vscode';
import { askModel } from './model.js';
import { createSignIn } from './sign-in.js';
import { createStatusBar } from './status-bar.js';

function openClient({ secrets }: vscode.ExtensionContext): Client {
  return createClient({
    baseUrl: vscode.workspace.getConfiguration('tokenledger').get('server', 'http://127.0.0.1:3000'),
    // All windows share it, and the system's keychain protects it.
    storage: secretStorage(secrets),
    device: { name: hostname() },
    onRefused: ({ model_type }, { message }) => void vscode.window.showWarningMessage(`${model_type}: ${message}`),
  });
}

/** Shows what goes wrong in a command, as VS Code itself would only log it. */
function guarded(work: () => Promise<unknown>): () => Promise<void> {
  return async () => {
    try {
      await work();
    } catch (error) {
      void vscode.window.showErrorMessage(error instanceof Error ? error.message : 'Something went wrong');
    }
  };
}

/** Registers this installation, and what people can do. */
export async function activate(context: vscode.ExtensionContext): Promise<void> {
  const client = openClient(context);
  const statusBar = createStatusBar(client);
  const signIn = createSignIn(client, context.extension.id);

  async function ask(): Promise<void> {
    const prompt = await vscode.window.showInputBox({ prompt: 'What do you want to know?' });
    if (prompt === undefined || prompt.trim() === '') return;
    const model_type = vscode.workspace.getConfiguration('tokenledger').get('model', 'gpt-5');
    try {
      // Tokens are held first, so that windows that ask at once do not spend the same ones.
      const answer = await client.device.spend({ model_type }, () => askModel(prompt));
      await vscode.window.showInformationMessage(answer);
    } finally {
      await statusBar.update();
    }
  }

  async function finishSignIn(uri: vscode.Uri): Promise<void> {
    const { email } = await signIn.finish(uri);
    await client.device.register();
    await statusBar.update();
    void vscode.window.showInformationMessage(`Signed in as ${email}`);
  }

  context.subscriptions.push(
    statusBar,
    { dispose: () => client.close() },
    vscode.commands.registerCommand('tokenledger.ask', guarded(ask)),
    vscode.commands.registerCommand('tokenledger.signIn', guarded(signIn.begin)),
    vscode.commands.registerCommand(
      'tokenledger.signOut',
      guarded(() => client.account.signOut().then(statusBar.update)),
    ),
    vscode.window.registerUriHandler({ handleUri: (uri) => guarded(() => finishSignIn(uri))() }),
    // Another window may have signed in or spent tokens.
    vscode.window.onDidChangeWindowState(({ focused }) => focused && void statusBar.update()),
  );
  // A server that is down does not keep the extension from starting.
  await client.device.register().catch(() => {});
  await client.device.flush().catch(() => {});
  await statusBar.update();
}
