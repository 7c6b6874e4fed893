/** A streamed answer as the events of a model, which the SDK's runner reads. */
import type { ModelSettings, protocol } from '@openai/agents';
import type { Obj } from '../../state/json.js';
import { type Answer, newId, type Part, rawUsage, toItems, toUsage } from './response.js';

/**
 * The events of one response: it begins with the first chunk, each chunk is passed on as it came,
 * and text as it grows.
 *
 * With `holdText`, text is not sent as it comes but once, when the answer is whole: it may still
 * be replaced, or lose a code fence. White space waits for text in any case, for in front of calls
 * it is dropped.
 */
export class EventWriter {
  readonly #model: string;
  readonly #holdText: boolean;
  #started = false;
  #waiting = '';
  #said = false;
  #thought = false;
  #thoughtLate = false;

  constructor(model: string, { holdText }: { holdText: boolean }) {
    this.#model = model;
    this.#holdText = holdText;
  }

  /** The events for a chunk and what it added. */
  *add(chunk: Obj, part: Part): Generator<protocol.StreamEvent> {
    if (!this.#started) {
      this.#started = true;
      yield { type: 'response_started' };
    }
    yield { type: 'model', event: chunk };
    if (part.thinking !== '' && !this.#thought) {
      this.#thought = true;
      this.#thoughtLate = this.#said;
    }
    if (!this.#holdText) {
      yield* this.#say(part.content);
    }
  }

  /** The rest of the events: held text, and the whole response. */
  *finish(
    answer: Answer,
    counts: readonly Obj[],
    settings: ModelSettings,
  ): Generator<protocol.StreamEvent> {
    if (answer.text !== '' && !this.#said) {
      yield { type: 'output_text_delta', delta: answer.text };
    }
    const output = toItems(answer, this.#model);
    if (this.#thoughtLate) {
      // The items stand in the order in which they began.
      output.unshift(...output.splice(1, 1));
    }
    const response: protocol.StreamEventResponseCompleted['response'] = {
      id: `resp_${newId()}`,
      usage: toUsage(counts),
      output,
    };
    if (settings.preserveRawUsage) {
      response.rawUsage = rawUsage(counts);
    }
    yield { type: 'response_done', response };
  }

  *#say(delta: string): Generator<protocol.StreamEvent> {
    this.#waiting += delta;
    if (this.#waiting !== '' && (this.#said || this.#waiting.trim() !== '')) {
      this.#said = true;
      yield { type: 'output_text_delta', delta: this.#waiting };
      this.#waiting = '';
    }
  }
}
