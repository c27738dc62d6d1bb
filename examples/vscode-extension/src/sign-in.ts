import type { Client, User } from 'tokenledger/client';
import * as vscode from 'vscode';

/** Signing in with Google, in the person's browser. */
export interface SignIn {
  readonly begin: () => Promise<void>;
  /** Takes the address that the browser opens this editor with. */
  readonly finish: (uri: vscode.Uri) => Promise<User>;
}

/** Creates the two halves of a sign-in; VS Code may have been started anew between them. */
export function createSignIn({ account }: Client, extensionId: string): SignIn {
  return {
    begin: async () => {
      const own = vscode.Uri.parse(`${vscode.env.uriScheme}://${extensionId}/signed-in`);
      // In a browser or over a remote connection this is another address, which leads here.
      const redirectUri = (await vscode.env.asExternalUri(own)).toString(true);
      const address = await account.beginSignIn('google', redirectUri);
      await vscode.env.openExternal(vscode.Uri.parse(address, true));
    },
    finish: (uri) => account.finishSignIn(uri.toString(true)),
  };
}
