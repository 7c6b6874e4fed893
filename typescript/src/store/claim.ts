/** A claim on a run: nobody else resumes or saves it until the claim ends. */
import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { StoreError } from '../errors.js';
import type { Backend, Claimed } from './base.js';

/** A name for who claims a run: the machine, the process, and something of its own. */
export function newOwner(): string {
  return `${hostname()}-${process.pid}-${randomBytes(4).toString('hex')}`;
}

/**
 * A run that is held, renewed in the background until it is released; the renewal keeps no process
 * alive.
 *
 * `await using` releases it at the end. Where it could not be renewed in time and somebody else has
 * taken the run, `lost` is true, and the next save of its store throws `StoreError` (`claim-lost`).
 * One that lapsed and that nobody took is renewed: the work done meanwhile is not lost, and a
 * revision saved by others in between is `stale-state` as ever.
 */
export class Claim implements AsyncDisposable {
  readonly owner: string;
  /** When the claim ends if it is not renewed. */
  until: Date;
  lost = false;
  /** Who holds the run, where somebody else has got it. */
  holder: Claimed | undefined;
  readonly #timer: NodeJS.Timeout;
  #renewing: Promise<void> | undefined;

  /** @param milliseconds - The lease; it is renewed every third of it. */
  constructor(
    private readonly backend: Backend,
    private readonly runId: string,
    claimed: Claimed,
    private readonly milliseconds: number,
    private readonly ended: () => void,
  ) {
    this.owner = claimed.owner;
    this.until = claimed.until;
    this.#timer = setInterval(() => {
      this.#renewing ??= this.#renew().finally(() => {
        this.#renewing = undefined;
      });
    }, milliseconds / 3).unref();
  }

  /** Gives the run back. Twice is no error, nor is a claim that was lost. */
  async release(): Promise<void> {
    await this.stop();
    this.ended();
    try {
      await this.backend.release(this.runId, this.owner);
    } catch (error) {
      if (!(error instanceof StoreError)) {
        throw error;
      }
    }
  }

  /** Renews the claim no more, so that it ends at `until`. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#renewing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }

  async #renew(): Promise<void> {
    try {
      this.until = (await this.backend.claim(this.runId, this.owner, this.milliseconds)).until;
    } catch (error) {
      // Anything else may pass; until it does, the next save asks the store itself.
      if (error instanceof StoreError && LOSSES.has(error.code)) {
        this.lost = true;
        const { owner, until } = error;
        this.holder = owner !== undefined && until !== undefined ? { owner, until } : undefined;
        clearInterval(this.#timer);
      }
    }
  }
}

const LOSSES = new Set<string>(['already-claimed', 'state-not-found']);
