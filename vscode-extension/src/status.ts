// The status bar item and its menu. Shows what the server said; decides nothing.

import * as vscode from 'vscode';
import { ServerState, StatusParams } from './protocol';
import { openSettings } from './server';

const LOOK: Record<ServerState, { icon: string; text: string }> = {
  loading: { icon: '$(loading~spin)', text: 'loading' },
  ready: { icon: '$(flame)', text: 'ready' },
  thinking: { icon: '$(sync~spin)', text: 'thinking' },
  off: { icon: '$(circle-slash)', text: 'off' },
  error: { icon: '$(error)', text: 'error' },
};

export class StatusItem implements vscode.Disposable {
  private readonly item = vscode.window.createStatusBarItem('codehearth.status', vscode.StatusBarAlignment.Right, 100);
  private status: StatusParams = { state: 'loading' };
  private readonly settingsListener: vscode.Disposable;

  constructor() {
    this.item.name = 'Codehearth';
    this.item.command = 'codehearth.menu';
    this.settingsListener = vscode.workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration('codehearth.enable')) {
        this.render();
      }
    });
    this.render();
    this.item.show();
  }

  /** Model and timing stay as they were last told until there is something newer. */
  update(status: StatusParams): void {
    this.status = {
      ...status,
      model: status.model ?? this.status.model,
      timing: status.timing ?? this.status.timing,
    };
    this.render();
  }

  dispose(): void {
    this.settingsListener.dispose();
    this.item.dispose();
  }

  private render(): void {
    const enabled = vscode.workspace.getConfiguration('codehearth').get('enable', true);
    const told = this.status.state in LOOK ? this.status.state : 'error';
    const state: ServerState = !enabled && told !== 'error' ? 'off' : told;
    this.item.text = `${LOOK[state].icon} Codehearth`;
    this.item.tooltip = this.tooltip(state);
    this.item.accessibilityInformation = { label: `Codehearth: ${LOOK[state].text}`, role: 'button' };
    this.item.backgroundColor = state === 'error' ? new vscode.ThemeColor('statusBarItem.errorBackground') : undefined;
  }

  private tooltip(state: ServerState): vscode.MarkdownString {
    const text = new vscode.MarkdownString();
    text.appendMarkdown(`**Codehearth: ${LOOK[state].text}**\n\n`);
    if (this.status.message) {
      text.appendText(this.status.message);
      text.appendMarkdown('\n\n');
    }
    if (this.status.model) {
      text.appendText(`Model: ${this.status.model}`);
      text.appendMarkdown('\n\n');
    }
    const timing = Object.entries(this.status.timing ?? {}).filter(([, value]) => value !== null);
    if (timing.length > 0) {
      text.appendMarkdown('Last answer\n\n');
      text.appendCodeblock(timing.map(([name, value]) => describe(name, value)).join('\n'), 'text');
    }
    return text;
  }
}

/** `prefill_ms: 12.345` → `prefill       12.3 ms`; counts stay as they are. */
function describe(name: string, value: number | string | boolean | null): string {
  const duration = name.endsWith('_ms');
  const label = (duration ? name.slice(0, -3) : name).replaceAll('_', ' ');
  const shown = duration && typeof value === 'number' ? `${value.toFixed(1)} ms` : String(value);
  return `${label.padEnd(18)}${shown}`;
}

export async function showMenu(): Promise<void> {
  const enabled = vscode.workspace.getConfiguration('codehearth').get('enable', true);
  const entries: (vscode.QuickPickItem & { command: string })[] = [
    { label: `$(zap) Switch inline completion ${enabled ? 'off' : 'on'}`, command: 'codehearth.toggle' },
    { label: '$(comment-discussion) Open chat', command: 'codehearth.openChat' },
    { label: '$(debug-restart) Restart the language server', command: 'codehearth.restartServer' },
    { label: '$(output) Show the log', command: 'codehearth.showLog' },
    { label: '$(gear) Settings', command: '' },
  ];
  const choice = await vscode.window.showQuickPick(entries, { title: 'Codehearth' });
  if (choice?.command) {
    await vscode.commands.executeCommand(choice.command);
  } else if (choice) {
    await openSettings();
  }
}
