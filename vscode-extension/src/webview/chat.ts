// Draws the conversation in the webview: markdown, streaming, Copy and Insert on code blocks, keyboard.
// Keeps no conversation of its own and talks to nobody but the extension.

import MarkdownIt from 'markdown-it';
import type { Timing } from '../protocol';
import type { FromWebview, ToWebview } from './messages';

const host = acquireVsCodeApi<never>();
const send = (message: FromWebview): void => host.postMessage(message);

// html: false escapes any markup of the model; images are off, a picture's address could carry text outside.
const markdown = new MarkdownIt({ html: false, linkify: false, breaks: false }).disable('image');

const log = element('log', HTMLElement);
const form = element('form', HTMLFormElement);
const input = element('input', HTMLTextAreaElement);
const stateLine = element('state', HTMLElement);
const stopButton = element('stop', HTMLButtonElement);
const sendButton = element('send', HTMLButtonElement);

let answer: HTMLElement | undefined; // the bubble of the answer under way
let answerText = '';
let drawing = false;
let lastQuestion = '';

function element<T extends HTMLElement>(id: string, kind: { new (): T }): T {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) {
    throw new Error(`#${id} is missing`);
  }
  return found;
}

function bubble(role: 'user' | 'assistant'): HTMLElement {
  const article = document.createElement('article');
  article.className = role;
  article.setAttribute('aria-label', role === 'user' ? 'You' : 'Codehearth');
  const body = document.createElement('div');
  body.className = 'body';
  article.append(body);
  log.append(article);
  return body;
}

function render(body: HTMLElement, text: string): void {
  body.innerHTML = markdown.render(text);
  for (const block of body.querySelectorAll('pre')) {
    const code = (block.textContent ?? '').replace(/\n$/, '');
    const bar = document.createElement('div');
    bar.className = 'code-actions';
    bar.append(
      codeButton('Copy', () => send({ type: 'copy', text: code })),
      codeButton('Insert', () => send({ type: 'insert', text: code })),
    );
    const frame = document.createElement('div');
    frame.className = 'code';
    block.replaceWith(frame);
    frame.append(bar, block);
  }
}

function codeButton(label: string, action: () => void): HTMLButtonElement {
  const button = document.createElement('button');
  button.type = 'button';
  button.textContent = label;
  button.title = label === 'Copy' ? 'Copy this code' : "Insert this code at the editor's caret";
  button.addEventListener('click', () => {
    action();
    if (label === 'Copy') {
      button.textContent = 'Copied';
      setTimeout(() => (button.textContent = label), 1200);
    }
  });
  return button;
}

// Pieces come faster than frames: parse the answer at most once a frame.
function drawAnswer(): void {
  if (drawing) {
    return;
  }
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    if (answer) {
      keepAtEnd(() => answer && render(answer, answerText));
    }
  });
}

function keepAtEnd(change: () => void): void {
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  change();
  if (atEnd) {
    log.scrollTop = log.scrollHeight;
  }
}

function showRunning(running: boolean): void {
  document.body.classList.toggle('running', running);
  stopButton.hidden = !running;
  sendButton.disabled = running;
  log.setAttribute('aria-busy', String(running));
  if (running) {
    stateLine.textContent = 'thinking …';
  }
}

function showEmpty(): void {
  const empty = document.createElement('section');
  empty.className = 'empty';
  const title = document.createElement('h2');
  title.textContent = 'Codehearth';
  const text = document.createElement('p');
  text.textContent =
    'Ask about your code. The model runs on this machine and nothing you write here leaves it. ' +
    'It is small and can be wrong: check what it says.';
  const hint = document.createElement('p');
  hint.textContent = 'Select code in the editor and choose “Ask About the Selection” to bring it here.';
  empty.append(title, text, hint);
  log.append(empty);
}

function conclusion(reason: string, timing: Timing | undefined, problem: string | undefined): string {
  if (problem) {
    return problem;
  }
  const parts: string[] = [];
  if (reason === 'cancelled') {
    parts.push('stopped');
  } else if (reason === 'length') {
    parts.push('cut at the token limit');
  }
  if (typeof timing?.generated_tokens === 'number') {
    parts.push(`${timing.generated_tokens} tokens`);
  }
  if (typeof timing?.total_ms === 'number') {
    parts.push(`${(timing.total_ms / 1000).toFixed(1)} s`);
  }
  return parts.join(' · ');
}

window.addEventListener('message', ({ data }: MessageEvent<ToWebview>) => {
  switch (data.type) {
    case 'conversation':
      log.replaceChildren();
      answer = undefined;
      for (const { role, content } of data.messages) {
        render(bubble(role), content);
        lastQuestion = role === 'user' ? content : lastQuestion;
      }
      stateLine.textContent = '';
      if (data.running !== undefined) {
        answer = bubble('assistant');
        answerText = data.running;
        drawAnswer();
      } else if (data.messages.length === 0) {
        showEmpty();
      }
      showRunning(data.running !== undefined);
      log.scrollTop = log.scrollHeight;
      if (data.fromQuestion) {
        [...log.querySelectorAll('article.user')].at(-1)?.scrollIntoView();
      }
      break;
    case 'delta':
      answerText += data.text;
      drawAnswer();
      break;
    case 'done':
      if (answer) {
        const body = answer;
        answer = undefined;
        keepAtEnd(() => render(body, data.text));
      }
      showRunning(false);
      stateLine.textContent = conclusion(data.reason, data.timing, data.problem);
      stateLine.classList.toggle('problem', data.problem !== undefined);
      break;
    case 'draft':
      if (data.text) {
        input.value = data.text;
        input.focus();
        input.setSelectionRange(input.value.length, input.value.length);
      }
      break;
    case 'focus':
      input.focus();
      break;
  }
});

function ask(): void {
  const text = input.value.trim();
  if (text && !document.body.classList.contains('running')) {
    input.value = '';
    send({ type: 'ask', text });
  }
}

form.addEventListener('submit', (event) => {
  event.preventDefault();
  ask();
});
stopButton.addEventListener('click', () => {
  send({ type: 'stop' });
  input.focus();
});
input.addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    ask();
  } else if (event.key === 'ArrowUp' && input.value === '' && lastQuestion) {
    event.preventDefault();
    input.value = lastQuestion;
  }
});
document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape' && document.body.classList.contains('running')) {
    send({ type: 'stop' });
  }
});

send({ type: 'ready' });
