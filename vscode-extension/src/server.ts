// Starts, stops and restarts the language server. Ghost text itself is the standard textDocument/inlineCompletion,
// which vscode-languageclient registers by itself as soon as the server announces it.
// Knows the process and its settings; knows nothing of chat or of what is shown where.

import * as vscode from 'vscode';
import {
  CloseAction,
  ErrorAction,
  LanguageClient,
  LanguageClientOptions,
  RevealOutputChannelOn,
  State,
  StaticFeature,
} from 'vscode-languageclient/node';
import { installServer } from './install';
import { findServer, readInstallRecord, ServerProgram } from './interpreter';
import { STATUS, StatusParams } from './protocol';

// Changes of these need a new process (or a new document selector); the server follows all others while it runs.
const RESTARTING_SETTINGS = ['interpreter', 'languages'];
const MAX_CRASHES = 3;
const CRASH_WINDOW_MS = 180_000;

export class Server implements vscode.Disposable {
  readonly log = vscode.window.createOutputChannel('Codehearth', { log: true });
  private client: LanguageClient | undefined;
  private turn: Promise<void> = Promise.resolve(); // starts and stops happen one after the other
  private readonly statusEmitter = new vscode.EventEmitter<StatusParams>();
  private readonly clientEmitter = new vscode.EventEmitter<LanguageClient>();
  private readonly settingsListener: vscode.Disposable;

  /** What the server, or the lack of one, has to say about itself. */
  readonly onStatus = this.statusEmitter.event;
  /** A new client, before it is started: the place to register handlers. */
  readonly onClient = this.clientEmitter.event;

  constructor(
    private readonly storage: string,
    private readonly ownCommands: readonly string[],
  ) {
    this.settingsListener = vscode.workspace.onDidChangeConfiguration((event) => {
      if (RESTARTING_SETTINGS.some((name) => event.affectsConfiguration(`codehearth.${name}`))) {
        void this.restart();
      }
    });
  }

  /** The running client; throws a sentence for the user if there is none. */
  running(): LanguageClient {
    if (!this.client?.isRunning()) {
      throw new Error('The language server is not running.');
    }
    return this.client;
  }

  start(): Promise<void> {
    return this.inTurn(() => this.startNow());
  }

  restart(): Promise<void> {
    return this.inTurn(async () => {
      await this.stopNow();
      await this.startNow();
    });
  }

  stop(): Promise<void> {
    return this.inTurn(() => this.stopNow());
  }

  dispose(): void {
    this.settingsListener.dispose();
    this.statusEmitter.dispose();
    this.clientEmitter.dispose();
    this.log.dispose();
  }

  private inTurn(step: () => Promise<void>): Promise<void> {
    this.turn = this.turn.then(step, step).catch((error: unknown) => this.failed(error));
    return this.turn;
  }

  private async startNow(): Promise<void> {
    const settings = vscode.workspace.getConfiguration('codehearth');
    const found = findServer(settings.get('interpreter', ''), this.storage, readInstallRecord());
    if (!found) {
      this.statusEmitter.fire({ state: 'error', message: 'The language server is not installed.' });
      void this.offerInstallation();
      return;
    }
    this.log.info(`language server from ${found.origin}: ${[found.command, ...found.args].join(' ')}`);
    this.statusEmitter.fire({ state: 'loading', message: 'The language server is starting.' });
    await vscode.workspace.fs.createDirectory(vscode.Uri.file(this.storage));
    const client = this.createClient(found, settings);
    this.client = client;
    await client.start();
  }

  private createClient(found: ServerProgram, settings: vscode.WorkspaceConfiguration): LanguageClient {
    const options: LanguageClientOptions = {
      documentSelector: documentSelector(settings.get<string[]>('languages', ['python'])),
      outputChannel: this.log,
      revealOutputChannelOn: RevealOutputChannelOn.Never,
      initializationOptions: plain(settings),
      initializationFailedHandler: () => false,
      errorHandler: this.crashHandler(),
    };
    const client = new LanguageClient(
      'codehearth',
      'Codehearth',
      {
        command: found.command,
        args: found.args,
        // Neither the opened folder nor a PYTHONPATH of the user's project may be on the server's import path.
        options: { cwd: this.storage, env: { PYTHONPATH: undefined, PYTHONHOME: undefined, PYTHONUTF8: '1' } },
      },
      options,
    );
    client.registerFeature(withoutOwnCommands(this.ownCommands));
    client.onNotification(STATUS, (status: StatusParams) => this.statusEmitter.fire(status));
    client.onDidChangeState(({ newState }) => {
      if (newState === State.Stopped && this.client === client) {
        this.statusEmitter.fire({ state: 'error', message: 'The language server has stopped.' });
      }
    });
    this.clientEmitter.fire(client);
    return client;
  }

  private crashHandler(): LanguageClientOptions['errorHandler'] {
    const crashes: number[] = [];
    return {
      error: () => ({ action: ErrorAction.Continue }),
      closed: () => {
        const now = Date.now();
        crashes.push(now);
        if (crashes.filter((at) => now - at < CRASH_WINDOW_MS).length <= MAX_CRASHES) {
          return { action: CloseAction.Restart, handled: true };
        }
        void this.complain('The language server stopped several times in a row and was not started again.');
        return { action: CloseAction.DoNotRestart, handled: true };
      },
    };
  }

  private async stopNow(): Promise<void> {
    const client = this.client;
    this.client = undefined; // first, so that its last state change is not taken for a crash
    if (client) {
      try {
        await client.dispose(2000);
      } catch (error) {
        this.log.warn(`the language server did not stop cleanly: ${sentence(error)}`);
      }
    }
  }

  private async failed(error: unknown): Promise<void> {
    const message = sentence(error);
    this.log.error(message);
    this.statusEmitter.fire({ state: 'error', message });
    void this.complain(`Codehearth could not start: ${message}`);
  }

  private async complain(message: string): Promise<void> {
    const choice = await vscode.window.showErrorMessage(message, 'Show Log', 'Restart', 'Open Settings');
    if (choice === 'Show Log') {
      this.log.show();
    } else if (choice === 'Restart') {
      await this.restart();
    } else if (choice === 'Open Settings') {
      await openSettings('interpreter');
    }
  }

  private async offerInstallation(): Promise<void> {
    const record = readInstallRecord();
    const install = 'Install It';
    const hint = record.source
      ? `It can be installed from ${record.source} into an environment of its own.`
      : 'Install Codehearth (pip install) and run `hearth vscode`, or choose the interpreter that has it.';
    const choices = [...(record.source ? [install] : []), 'Choose Interpreter', 'Open Settings'];
    const choice = await vscode.window.showWarningMessage(`Codehearth found no language server. ${hint}`, ...choices);
    if (choice === install) {
      try {
        if (await installServer(this.storage, record, this.log)) {
          await this.restart();
        }
      } catch (error) {
        await this.complain(`Codehearth could not be installed: ${sentence(error)}`);
      }
    } else if (choice === 'Choose Interpreter') {
      const picked = await vscode.window.showOpenDialog({ title: 'Python with Codehearth, or the program hearth' });
      if (picked?.[0]) {
        const settings = vscode.workspace.getConfiguration('codehearth');
        await settings.update('interpreter', picked[0].fsPath, vscode.ConfigurationTarget.Global);
      }
    } else if (choice === 'Open Settings') {
      await openSettings('interpreter');
    }
  }
}

export async function openSettings(name = ''): Promise<void> {
  await vscode.commands.executeCommand('workbench.action.openSettings', `codehearth.${name}`);
}

/**
 * vscode-languageclient registers every command that the server announces, and VS Code refuses a name that is taken:
 * the names that the extension itself contributes are left out.
 */
function withoutOwnCommands(own: readonly string[]): StaticFeature {
  return {
    fillClientCapabilities: () => {},
    preInitialize: ({ executeCommandProvider }) => {
      if (executeCommandProvider) {
        executeCommandProvider.commands = executeCommandProvider.commands.filter((name) => !own.includes(name));
      }
    },
    initialize: () => {},
    getState: () => ({ kind: 'static' }),
    clear: () => {},
  };
}

function documentSelector(languages: string[]): LanguageClientOptions['documentSelector'] {
  const schemes = ['file', 'untitled'];
  if (languages.includes('*')) {
    return schemes.map((scheme) => ({ scheme }));
  }
  return languages.flatMap((language) => schemes.map((scheme) => ({ scheme, language })));
}

// A configuration object also has methods; the server gets the values alone.
function plain(settings: vscode.WorkspaceConfiguration): unknown {
  return JSON.parse(JSON.stringify(settings));
}

export function sentence(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
