/** What can go wrong between the client and the server, as errors that say what it was. */
import { OllamaError } from '../../errors.js';
import { isObj, str } from '../../state/json.js';

const BUSY = new Set([429, 502, 503]);
const TIMEOUTS = new Set(['UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT']);
const BROKEN = new Set(['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET']);

/** An answer with an HTTP status that is no success. */
export function refusal(status: number, text: string): OllamaError {
  const body = parsed(text);
  const message = messageOf(body, text) || `HTTP status ${status}`;
  const retryable = BUSY.has(status) || (status === 500 && isBadCall(message));
  return new OllamaError(message, 'ollama-refused', { status, retryable, body });
}

/** An answer that is an error, whole or as a line of a stream. */
export function reported(answer: unknown): OllamaError {
  const message = messageOf(answer, 'The server reported an error.');
  return new OllamaError(message, 'ollama-stream-failed', {
    retryable: isBadCall(message),
    body: answer,
  });
}

/** An answer that is no JSON object. */
export function invalidAnswer(text: string): OllamaError {
  return new OllamaError("The server's answer is not the JSON of Ollama.", 'ollama-stream-failed', {
    body: text,
  });
}

/** What a failed `fetch` means; any other error as it is. */
export function connectionError(error: unknown, address: string): unknown {
  if (!(error instanceof TypeError) || error.cause === undefined) {
    return error;
  }
  const code = isObj(error.cause) ? (str(error.cause.code) ?? '') : '';
  if (TIMEOUTS.has(code)) {
    const message = `Ollama at ${address} did not answer in time.`;
    return new OllamaError(message, 'ollama-unreachable', { retryable: true, cause: error });
  }
  if (error.message === 'terminated' || BROKEN.has(code)) {
    const message = `The connection to Ollama at ${address} broke before the answer was complete.`;
    return new OllamaError(message, 'ollama-stream-ended', { retryable: true, cause: error });
  }
  const message = `No connection. Is Ollama running at ${address}?`;
  return new OllamaError(message, 'ollama-unreachable', { retryable: true, cause: error });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function messageOf(body: unknown, text: string): string {
  let error = isObj(body) ? body.error : undefined;
  if (isObj(error)) {
    error = error.message;
  }
  return typeof error === 'string' && error !== '' ? error : text.trim();
}

/** The model wrote a call the server could not parse: another try may go well. */
function isBadCall(message: string): boolean {
  return message.includes('error parsing tool call');
}
