/** A connection to a database that speaks PostgreSQL, as the store needs it. */

/** The connection ended under a statement. Whether the statement was done is not known. */
export class ConnectionLost extends Error {
  constructor(
    message: string,
    /** What the server said about it, where it said something. */
    readonly sqlstate?: string,
  ) {
    super(message);
  }
}

/** The database answered a statement with an error; nothing of the statement was done. */
export class DatabaseRefused extends Error {
  constructor(
    message: string,
    readonly sqlstate: string | undefined,
  ) {
    super(message);
  }
}

/** What a parameter or a column of a row may be. `bytea` is bytes, other types are cast to these. */
export type Value = string | number | boolean | Uint8Array | null;

/** Whatever statements can be sent to. They reject with `ConnectionLost` and `DatabaseRefused`. */
export interface Statements {
  /** The rows of one statement with `$1`, `$2`, ... for its parameters, as lists of their columns. */
  fetch(sql: string, parameters?: readonly Value[]): Promise<Value[][]>;
  /** Runs any number of statements, without parameters. */
  script(sql: string): Promise<void>;
}

/**
 * Sends one statement after the other, each in a transaction of its own.
 *
 * Nothing relies on the state of a session: a lost connection is opened again for the next
 * statement. Rejects with `StoreError` (`database-unavailable`) where it cannot be opened.
 */
export interface Connection extends Statements {
  /**
   * What is sent to the value is one transaction, undone if `work` rejects. `work` sends nothing
   * to the connection itself.
   */
  transaction<T>(work: (inside: Statements) => Promise<T>): Promise<T>;
  /** Ends the connection. */
  close(): Promise<void>;
}
