// Entry point: makes the parts and connects them. Everything that thinks is in the language server.

import * as vscode from 'vscode';
import { ChatView } from './chatView';
import { Explainer } from './explain';
import { ExplainParams } from './protocol';
import { sentence, Server } from './server';
import { showMenu, StatusItem } from './status';

let server: Server | undefined;

export async function activate(context: vscode.ExtensionContext): Promise<void> {
  const status = new StatusItem();
  const running = (server = new Server(context.globalStorageUri.fsPath, [...contributedCommands(context), 'codehearth.explain']));
  const chat = new ChatView(context.extensionUri, () => running.running());
  const explainer = new Explainer(chat, () => running.running());
  context.subscriptions.push(
    running,
    status,
    chat,
    running.onStatus((news) => status.update(news)),
    running.onClient((client) => chat.attach(client)),
    vscode.window.registerWebviewViewProvider(ChatView.id, chat),
  );
  const command = (name: string, action: (argument?: unknown) => unknown): void => {
    const guarded = async (argument?: unknown): Promise<void> => {
      try {
        await action(argument);
      } catch (error) {
        void vscode.window.showErrorMessage(`Codehearth: ${sentence(error)}`);
      }
    };
    context.subscriptions.push(vscode.commands.registerCommand(`codehearth.${name}`, guarded));
  };
  command('trigger', () => vscode.commands.executeCommand('editor.action.inlineSuggest.trigger'));
  command('toggle', toggle);
  command('openChat', () => chat.open());
  command('newChat', () => chat.clear());
  command('askAboutSelection', () => chat.askAboutSelection());
  command('explain', (what) => explainer.explain(what as ExplainParams)); // the command of the server's quick fixes
  command('explainTraceback', () => explainer.explainTraceback());
  command('explainTerminalSelection', () => explainer.explainTerminalSelection());
  command('restartServer', () => running.restart());
  command('showLog', () => running.log.show());
  command('menu', showMenu);
  await running.start();
}

export async function deactivate(): Promise<void> {
  await server?.stop();
}

function contributedCommands(context: vscode.ExtensionContext): string[] {
  const manifest = context.extension.packageJSON as { contributes: { commands: { command: string }[] } };
  return manifest.contributes.commands.map(({ command }) => command);
}

/** Writes the setting where it is already set, so that the switch always has an effect. */
async function toggle(): Promise<void> {
  const settings = vscode.workspace.getConfiguration('codehearth');
  const set = settings.inspect<boolean>('enable');
  const target =
    set?.workspaceValue !== undefined ? vscode.ConfigurationTarget.Workspace : vscode.ConfigurationTarget.Global;
  await settings.update('enable', !settings.get('enable', true), target);
}
