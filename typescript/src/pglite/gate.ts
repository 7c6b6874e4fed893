/** Whose turn it is: the engine has one session, so one client has it at a time. */
export class Gate {
  #holder: object | undefined;
  readonly #waiting: { who: object; go: () => void }[] = [];

  /** Waits for the turn, in order of asking; at once for the one who has it. */
  acquire(who: object): Promise<void> {
    if (this.#holder === who) {
      return Promise.resolve();
    }
    if (this.#holder === undefined) {
      this.#holder = who;
      return Promise.resolve();
    }
    return new Promise((go) => {
      this.#waiting.push({ who, go });
    });
  }

  /** Whether it is this one's turn. */
  heldBy(who: object): boolean {
    return this.#holder === who;
  }

  /** Passes the turn on, if it was this one's. */
  release(who: object): void {
    if (this.#holder !== who) {
      return;
    }
    const next = this.#waiting.shift();
    this.#holder = next?.who;
    next?.go();
  }
}
