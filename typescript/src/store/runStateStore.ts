/** The store of one run's state. */
import type { Agent, RunState } from '@openai/agents';
import { CrossingError, StoreError } from '../errors.js';
import type { StateOptions } from '../state/index.js';
import * as file from './disk.js';
import { decode, encode, refuseRawSnapshot } from './text.js';

/** Loaded on first use, so that importing the package stays cheap. */
function codec(): Promise<typeof import('../state/index.js')> {
  return import('../state/index.js');
}

/**
 * Keeps the state of one run at `location` as a portable document both ports read.
 *
 * `location` is the path of a file; `agent` is the agent the run started with.
 */
// biome-ignore lint/suspicious/noExplicitAny: the SDK's own types take `any` for "whatever agent"
export class RunStateStore<TContext = undefined, TAgent extends Agent<any, any> = Agent<any, any>> {
  readonly #path: string;
  readonly #agent: TAgent;

  /** @throws StoreError `unknown-location` for anything but a path. */
  constructor(location: string, agent: TAgent) {
    if (location === '' || /^[A-Za-z][A-Za-z0-9+.-]+:(\/\/|$)/.test(location)) {
      throw new StoreError(
        `no run state store for the location '${location}'`,
        'unknown-location',
        { hint: "give the path of a file, for example 'runs/weather.json'" },
      );
    }
    this.#path = location;
    this.#agent = agent;
  }

  /**
   * Replaces what is stored by `state`: atomic, flushed to the disk, file mode 0600.
   *
   * Parent folders are created. Of concurrent saves one is left, whole. Rejects with the errors
   * of `dumpRunState` and of the file system.
   */
  async save(state: RunState<TContext, TAgent>): Promise<void> {
    const { dumpRunState } = await codec();
    const text = encode(dumpRunState(state).document);
    await this.#at(() => file.replace(this.#path, text));
  }

  /**
   * The official SDK's own `RunState`, ready to approve, reject and resume.
   *
   * @param options - `context`: the run's context where the document does not hold its data.
   * @throws StoreError `state-not-found`; DocumentError `malformed` with line and column,
   * `unsafe-integer`, `not-a-run-state`; CrossingError `run-completed`; and the errors of
   * `loadRunState`.
   */
  async load(options?: StateOptions): Promise<RunState<TContext, TAgent>> {
    const data = await this.#at(() => file.read(this.#path)).catch((error: unknown) => {
      if (!file.isMissing(error)) {
        throw error;
      }
      throw new StoreError(`no run state at ${this.#path}`, 'state-not-found', {
        hint: 'save one there first; the file may have been cleared',
      });
    });
    const document = decode(data, this.#path);
    refuseRawSnapshot(document, this.#path);
    if (document.status === 'completed') {
      throw new CrossingError(
        `${this.#path} holds a run that is over: nothing is left to resume`,
        'run-completed',
        { hint: 'continue the conversation in a new run, with its input and items as input' },
      );
    }
    const { loadRunState } = await codec();
    return await loadRunState<TContext, TAgent>(document, this.#agent, options);
  }

  /** Removes what is stored. Nothing stored is no error. */
  async clear(): Promise<void> {
    await this.#at(() => file.remove(this.#path));
  }

  async #at<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EISDIR') {
        throw new StoreError(`${this.#path} is a folder`, 'unknown-location', {
          hint: 'give the path of a file',
        });
      }
      throw error;
    }
  }
}
