import { mkdir, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';

/** An address as VS Code has them: parsed is decoded. */
class Uri {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }

  static parse(text: string): Uri {
    return new Uri(decodeURIComponent(text));
  }

  toString(skipEncoding = false): string {
    return skipEncoding ? this.text : encodeURI(this.text);
  }
}

interface StatusBarItem {
  text: string;
  tooltip: string;
  command: string;
}

/** A window of VS Code, as far as the sample uses it. */
export interface EditorWindow {
  /** The items of the status bar, in the order in which they were made. */
  readonly statusBar: StatusBarItem[];
  /** Messages that were shown, with their kind. */
  readonly messages: string[];
  /** Addresses that were opened in a browser. */
  readonly opened: string[];
  /** What the person types next. */
  input: string | undefined;
  readonly run: (command: string) => Promise<void>;
  /** Opens the window with an address, as the system does with those of `vscode:`. */
  readonly openUri: (address: string) => Promise<void>;
  /** Closes the window; its extensions are disposed of. */
  readonly close: () => void;
}

interface Disposable {
  readonly dispose: () => void;
}

/** Secrets as the keychain has them: all windows share them. */
export function createSecrets() {
  const secrets = new Map<string, string>();
  return {
    get: async (name: string) => secrets.get(name),
    store: async (name: string, value: string) => void secrets.set(name, value),
    delete: async (name: string) => void secrets.delete(name),
  };
}

/**
 * Puts an extension's module where it finds our VS Code.
 *
 * @param folder where the built extension is, as `extension.cjs`
 * @param settings the configuration, by full name
 */
export async function openEditor(folder: string, settings: Readonly<Record<string, string>>) {
  await mkdir(join(folder, 'node_modules/vscode'), { recursive: true });
  await writeFile(join(folder, 'node_modules/vscode/index.js'), 'module.exports = globalThis.vscodeOfTests;');
  const require = createRequire(join(folder, 'loader.cjs'));

  /** Opens a window with the extension, and waits until it is active. */
  return async (secrets: ReturnType<typeof createSecrets>): Promise<EditorWindow> => {
    const commands = new Map<string, () => Promise<void>>();
    const subscriptions: Disposable[] = [];
    let handleUri = async (_uri: Uri): Promise<void> => {};
    const disposable = { dispose: () => {} };
    const show = (kind: string) => async (text: string) => void window.messages.push(`${kind}: ${text}`);
    const window: EditorWindow = {
      statusBar: [],
      messages: [],
      opened: [],
      input: undefined,
      run: async (command) => commands.get(command)?.(),
      openUri: (address) => handleUri(Uri.parse(address)),
      close: () => {
        for (const { dispose } of subscriptions) dispose();
      },
    };
    const vscode = {
      Uri,
      StatusBarAlignment: { Left: 1, Right: 2 },
      workspace: {
        getConfiguration: (section: string) => ({
          get: (name: string, standard: string) => settings[`${section}.${name}`] ?? standard,
        }),
      },
      commands: {
        registerCommand: (name: string, work: () => Promise<void>) => {
          commands.set(name, work);
          return disposable;
        },
      },
      env: {
        uriScheme: 'vscode',
        asExternalUri: async (uri: Uri) => new Uri(`${uri.text}?windowId=1`),
        openExternal: async (uri: Uri) => window.opened.push(encodeURI(uri.toString(true))),
      },
      window: {
        showInputBox: async () => window.input,
        showInformationMessage: show('information'),
        showWarningMessage: show('warning'),
        showErrorMessage: show('error'),
        onDidChangeWindowState: () => disposable,
        registerUriHandler: (handler: { handleUri: typeof handleUri }) => {
          handleUri = handler.handleUri;
          return disposable;
        },
        createStatusBarItem: () => {
          const item = { text: '', tooltip: '', command: '', show: () => {}, dispose: () => {} };
          window.statusBar.push(item);
          return item;
        },
      },
    };
    Object.assign(globalThis, { vscodeOfTests: vscode });
    // Each window loads the extension in a process of its own.
    for (const path of Object.keys(require.cache).filter((path) => path.startsWith(folder))) delete require.cache[path];
    const extension: { activate: (context: object) => Promise<void> } = require(join(folder, 'extension.cjs'));
    await extension.activate({ secrets, subscriptions, extension: { id: 'tokenledger.tokenledger-sample' } });
    return window;
  };
}
