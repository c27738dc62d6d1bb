import type { Client } from 'tokenledger/client';
import * as vscode from 'vscode';

/** What is left, at the bottom of the window. */
export interface StatusBar extends vscode.Disposable {
  readonly update: () => Promise<void>;
}

/** Creates the item; a click on it signs in or out. */
export function createStatusBar({ account, device }: Client): StatusBar {
  const item = vscode.window.createStatusBarItem(vscode.StatusBarAlignment.Right);

  async function update(): Promise<void> {
    const user = await account.user();
    item.command = user === undefined ? 'tokenledger.signIn' : 'tokenledger.signOut';
    item.tooltip = user === undefined ? 'Sign in' : `Signed in as ${user.email}`;
    try {
      const { remaining } = await device.balance();
      item.text = `$(pulse) ${remaining} left`;
    } catch (error) {
      // What was used meanwhile is kept, and sent later.
      item.text = '$(debug-disconnect) tokens';
      item.tooltip = error instanceof Error ? error.message : 'The server did not answer';
    }
    item.show();
  }

  return { update, dispose: () => item.dispose() };
}
