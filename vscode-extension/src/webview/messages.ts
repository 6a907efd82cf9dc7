// The messages between the chat view and its webview.

import { ChatMessage, Timing } from '../protocol';

export type FromWebview =
  | { type: 'ready' }
  | { type: 'ask'; text: string }
  | { type: 'stop' }
  | { type: 'copy'; text: string }
  | { type: 'insert'; text: string };

export type ToWebview =
  /** everything anew; `running` is the text so far of an answer under way; `fromQuestion`: shown from the last question on */
  | { type: 'conversation'; messages: ChatMessage[]; running?: string; fromQuestion?: boolean }
  | { type: 'delta'; text: string }
  | { type: 'done'; text: string; reason: string; timing?: Timing; problem?: string }
  | { type: 'draft'; text: string }
  | { type: 'focus' };
