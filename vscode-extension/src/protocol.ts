// What the extension and the language server say to each other beyond the standard protocol.
// The server is the authority; nothing here computes.

export type ServerState = 'loading' | 'ready' | 'thinking' | 'off' | 'error';

/** Milliseconds and token counts of one answer; every field is optional, unknown ones are shown as they come. */
export type Timing = Record<string, number | string | boolean | null>;

/** Notification server → client. */
export const STATUS = 'codehearth/status';
export interface StatusParams {
  state: ServerState;
  message?: string | null;
  model?: string | null;
  timing?: Timing | null;
}

export interface ChatMessage {
  role: 'user' | 'assistant';
  content: string;
}

/** The server takes at most 256; an odd number keeps a question in front. */
export const MOST_CHAT_MESSAGES = 255;

/** Request client → server; cancelling it stops the engine. */
export const CHAT = 'codehearth/chat';
export interface ChatParams {
  id: string;
  messages: ChatMessage[];
  maxTokens: number;
}
export interface ChatResult {
  text: string;
  finishReason: string;
  timing?: Timing | null;
}

/** Request client → server: explains an error by facts and rules; null if there is nothing to explain. */
export const EXPLAIN = 'codehearth/explain';
/** A text that holds a traceback, or a document with the diagnostic of any language server. */
export interface ExplainParams {
  text?: string;
  uri?: string;
  diagnostic?: { message: string; range: unknown };
}
export interface ExplainResult {
  error: string;
  markdown: string;
}

/** Notification server → client: the next piece of the answer to the request with this id. */
export const CHAT_DELTA = 'codehearth/chat/delta';
export interface ChatDeltaParams {
  id: string;
  text: string;
}
