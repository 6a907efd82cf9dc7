// The chat view: keeps the conversation, sends it to the server, passes the streamed answer to the webview.
// The webview (src/webview/chat.ts) only draws; it may be thrown away and made again at any time.
// What the model is shown beyond the messages themselves is the server's business.

import { randomBytes } from 'node:crypto';
import * as vscode from 'vscode';
import { LanguageClient } from 'vscode-languageclient/node';
import { CHAT, CHAT_DELTA, ChatDeltaParams, ChatMessage, ChatParams, ChatResult, MOST_CHAT_MESSAGES, Timing } from './protocol';
import { sentence } from './server';
import { FromWebview, ToWebview } from './webview/messages';

interface Running {
  id: string;
  text: string;
  cancel: vscode.CancellationTokenSource;
}

export class ChatView implements vscode.WebviewViewProvider, vscode.Disposable {
  static readonly id = 'codehearth.chat';
  private view: vscode.WebviewView | undefined;
  private messages: ChatMessage[] = [];
  private running: Running | undefined;
  private draft = '';
  private fromQuestion = false; // the last turn is longer than the view and is read from its top

  constructor(
    private readonly extension: vscode.Uri,
    private readonly client: () => LanguageClient,
  ) {}

  /** Called for every new client before it starts. */
  attach(client: LanguageClient): void {
    client.onNotification(CHAT_DELTA, (delta: ChatDeltaParams) => {
      if (this.running?.id === delta.id) {
        this.running.text += delta.text;
        this.post({ type: 'delta', text: delta.text });
      }
    });
  }

  resolveWebviewView(view: vscode.WebviewView): void {
    this.view = view;
    view.webview.options = { enableScripts: true, localResourceRoots: [vscode.Uri.joinPath(this.extension, 'dist')] };
    view.webview.onDidReceiveMessage((message: FromWebview) => void this.receive(message));
    view.onDidDispose(() => (this.view = undefined));
    view.webview.html = this.html(view.webview);
  }

  async open(): Promise<void> {
    await vscode.commands.executeCommand(`${ChatView.id}.focus`);
    this.post({ type: 'focus' });
  }

  /** Puts the selected code, with its place, into the input: the user sees all of what will be sent. */
  async askAboutSelection(): Promise<void> {
    const editor = vscode.window.activeTextEditor;
    if (!editor || editor.selection.isEmpty) {
      void vscode.window.showInformationMessage('Select some code first.');
      return;
    }
    const { document, selection } = editor;
    const name = vscode.workspace.asRelativePath(document.uri, false);
    // A selection of whole lines ends at the start of the line after them.
    const last = selection.end.character === 0 ? selection.end.line : selection.end.line + 1;
    const lines = `lines ${selection.start.line + 1}–${Math.max(last, selection.start.line + 1)}`;
    this.draft = `${name}, ${lines}:\n${fenced(document.getText(selection), document.languageId)}\n`;
    await this.open();
    this.post({ type: 'draft', text: this.draft });
  }

  /** Shows a question and an answer that did not come from the model, as a turn of the conversation. */
  async show(question: string, answer: string): Promise<void> {
    this.stop();
    this.running = undefined;
    this.messages.push({ role: 'user', content: question }, { role: 'assistant', content: answer });
    this.fromQuestion = true;
    await this.open();
    this.draw();
  }

  clear(): void {
    this.stop();
    this.running = undefined;
    this.messages = [];
    this.draw();
  }

  dispose(): void {
    this.stop();
  }

  private async receive(message: FromWebview): Promise<void> {
    switch (message.type) {
      case 'ready':
        this.draw();
        this.post({ type: 'draft', text: this.draft });
        break;
      case 'ask':
        this.draft = '';
        await this.ask(message.text);
        break;
      case 'stop':
        this.stop();
        break;
      case 'copy':
        await vscode.env.clipboard.writeText(message.text);
        break;
      case 'insert':
        await insert(message.text);
        break;
    }
  }

  private async ask(question: string): Promise<void> {
    if (this.running || !question.trim()) {
      return;
    }
    const running: Running = { id: randomBytes(8).toString('hex'), text: '', cancel: new vscode.CancellationTokenSource() };
    this.messages.push({ role: 'user', content: question });
    this.running = running;
    this.fromQuestion = false;
    this.draw();
    const maxTokens = vscode.workspace.getConfiguration('codehearth').get('chat.maxTokens', 256);
    const params: ChatParams = { id: running.id, messages: this.messages.slice(-MOST_CHAT_MESSAGES), maxTokens };
    try {
      const result = await this.client().sendRequest<ChatResult>(CHAT, params, running.cancel.token);
      this.finish(running, result.text, result.finishReason, result.timing);
    } catch (error) {
      // A stopped request ends as an error of the protocol: what came until then is the answer.
      const stopped = running.cancel.token.isCancellationRequested;
      this.finish(running, running.text, stopped ? 'cancelled' : 'error', undefined, stopped ? undefined : sentence(error));
    }
  }

  private finish(running: Running, text: string, reason: string, timing?: Timing | null, problem?: string): void {
    running.cancel.dispose();
    if (this.running !== running) {
      return; // the conversation was cleared meanwhile
    }
    this.running = undefined;
    if (text) {
      this.messages.push({ role: 'assistant', content: text });
      this.post({ type: 'done', text, reason, timing: timing ?? undefined, problem });
    } else {
      // The next question must not follow one that was never answered: it goes back into the input.
      this.draft = this.messages.pop()?.content ?? '';
      this.draw();
      this.post({ type: 'draft', text: this.draft });
      this.post({ type: 'done', text, reason, problem });
    }
  }

  private stop(): void {
    this.running?.cancel.cancel();
  }

  private draw(): void {
    const { messages, running, fromQuestion } = this;
    this.post({ type: 'conversation', messages, running: running?.text, fromQuestion });
  }

  private post(message: ToWebview): void {
    void this.view?.webview.postMessage(message);
  }

  private html(webview: vscode.Webview): string {
    const nonce = randomBytes(16).toString('base64');
    const uri = (name: string) => webview.asWebviewUri(vscode.Uri.joinPath(this.extension, 'dist', name)).toString();
    const policy = `default-src 'none'; style-src ${webview.cspSource}; script-src 'nonce-${nonce}'`;
    return `<!DOCTYPE html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta http-equiv="Content-Security-Policy" content="${policy}">
  <link rel="stylesheet" href="${uri('chat.css')}">
  <title>Codehearth Chat</title>
</head>
<body>
  <main id="log" role="log" aria-live="polite" aria-label="Conversation"></main>
  <form id="form">
    <textarea id="input" rows="3" aria-label="Question" placeholder="Ask the local model (Enter sends, Shift+Enter: new line)"></textarea>
    <div id="buttons">
      <span id="state" role="status"></span>
      <button id="stop" type="button" title="Stop the answer (Esc)" hidden>Stop</button>
      <button id="send" type="submit" title="Send (Enter)">Send</button>
    </div>
  </form>
  <script nonce="${nonce}" src="${uri('chat.js')}"></script>
</body>
</html>`;
  }
}

async function insert(text: string): Promise<void> {
  const editor = vscode.window.activeTextEditor;
  if (!editor) {
    void vscode.window.showInformationMessage('Open a file first: the code is inserted at its caret.');
    return;
  }
  await editor.edit((edit) => edit.replace(editor.selection, text));
  await vscode.window.showTextDocument(editor.document, editor.viewColumn);
}

// The fence is longer than any run of backticks in the code, so that the code cannot end it.
function fenced(code: string, language: string): string {
  const runs = [...code.matchAll(/`+/g)].map((match) => match[0].length);
  const fence = '`'.repeat(Math.max(3, ...runs.map((length) => length + 1)));
  return `${fence}${language}\n${code.replace(/\n$/, '')}\n${fence}`;
}
