// Explains errors: takes a traceback from the selection, the terminal or the clipboard, or what a quick fix names, asks the
// server, and shows its answer in the chat view. Finds and judges nothing itself.

import * as vscode from 'vscode';
import { LanguageClient } from 'vscode-languageclient/node';
import { ChatView } from './chatView';
import { EXPLAIN, ExplainParams, ExplainResult } from './protocol';

const NOTHING = 'No traceback was found. Select what Python printed, from “Traceback (most recent call last):” on, or copy it.';

export class Explainer {
  constructor(
    private readonly chat: ChatView,
    private readonly client: () => LanguageClient,
  ) {}

  /** What a quick fix of the server names. */
  async explain(params: ExplainParams): Promise<void> {
    const found = await this.client().sendRequest<ExplainResult | null>(EXPLAIN, params);
    if (found) {
      await this.chat.show(`Explain this error: ${inline(found.error)}`, found.markdown);
    } else {
      void vscode.window.showInformationMessage(NOTHING);
    }
  }

  /** The selected text of the editor, else the clipboard. */
  async explainTraceback(): Promise<void> {
    const editor = vscode.window.activeTextEditor;
    const selected = editor && !editor.selection.isEmpty ? editor.document.getText(editor.selection) : '';
    await this.explain({ text: selected || (await vscode.env.clipboard.readText()) });
  }

  /** The selected text of the terminal; the API gives it through the clipboard alone, which is put back. */
  async explainTerminalSelection(): Promise<void> {
    const before = await vscode.env.clipboard.readText();
    await vscode.commands.executeCommand('workbench.action.terminal.copySelection');
    const selected = await vscode.env.clipboard.readText();
    await vscode.env.clipboard.writeText(before);
    await this.explain({ text: selected });
  }
}

// The chat view draws markdown: the error is shown as code, whatever backticks it holds.
function inline(text: string): string {
  const first = text.split('\n', 1)[0].slice(0, 300);
  const longest = Math.max(0, ...[...first.matchAll(/`+/g)].map((match) => match[0].length));
  const fence = '`'.repeat(longest + 1);
  return longest ? `${fence} ${first} ${fence}` : `${fence}${first}${fence}`;
}
