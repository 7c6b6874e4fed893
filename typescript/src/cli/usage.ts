/** Wrong usage of the command line. */

/** Arguments that make no sense; the command ends with exit code 2. */
export class UsageError extends Error {
  constructor(
    message: string,
    /** How the command is used, in one line or more. */
    readonly usage: string,
  ) {
    super(message);
  }
}
