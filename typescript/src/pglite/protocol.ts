/** PostgreSQL's wire protocol, version 3: messages in, messages out. */

/** The largest message a client may send, in bytes; PGLite's memory is 2 GB. */
export const LARGEST = 512 * 1024 * 1024;

/** Cuts what a client sends into messages. The first one, of a connection, has no type. */
export class MessageReader {
  #chunks: Buffer[] = [];
  #size = 0;
  #typed = false;

  push(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#size += chunk.length;
  }

  /** From now on messages have a type, one byte before their length. */
  started(): void {
    this.#typed = true;
  }

  /**
   * The next whole message, with its head, or undefined until more has come.
   *
   * @throws RangeError for a length no message can have.
   */
  next(): Buffer | undefined {
    const head = this.#typed ? 5 : 4;
    if (this.#size < head) {
      return undefined;
    }
    // A large message comes in thousands of chunks: they are joined once, when it is whole.
    if ((this.#chunks[0]?.length ?? 0) < head) {
      this.#chunks = [Buffer.concat(this.#chunks)];
    }
    const first = this.#chunks[0] as Buffer;
    const length = first.readInt32BE(head - 4) + head - 4;
    if (length < head || length > (this.#typed ? LARGEST : 10_000)) {
      throw new RangeError(`A message cannot be ${length} bytes long.`);
    }
    if (this.#size < length) {
      return undefined;
    }
    const whole = first.length >= length ? first : Buffer.concat(this.#chunks);
    const rest = whole.subarray(length);
    const others = whole === first ? this.#chunks.slice(1) : [];
    this.#chunks = rest.length > 0 ? [rest, ...others] : others;
    this.#size -= length;
    return whole.subarray(0, length);
  }
}

/** A message of a type with a body. */
export function message(type: string, ...body: (string | Uint8Array)[]): Buffer {
  const parts = body.map((part) => (typeof part === 'string' ? Buffer.from(part) : part));
  const size = parts.reduce((sum, part) => sum + part.length, 0);
  const head = Buffer.alloc(5);
  head.write(type, 0, 'latin1');
  head.writeInt32BE(size + 4, 1);
  return Buffer.concat([head, ...parts]);
}

/** A simple query. */
export function query(sql: string): Buffer {
  return message('Q', `${sql}\0`);
}

/** An error that ends the connection, as a server of PostgreSQL words it. */
export function fatal(code: string, text: string): Buffer {
  return message('E', `SFATAL\0VFATAL\0C${code}\0M${text}\0\0`);
}

/** The type of a message. */
export function typeOf(bytes: Buffer): string {
  return String.fromCharCode(bytes[0] ?? 0);
}

/** The messages of an answer, each with its head. */
export function* messages(answer: Buffer): Generator<Buffer> {
  let at = 0;
  while (at + 5 <= answer.length) {
    const end = at + 1 + answer.readInt32BE(at + 1);
    yield answer.subarray(at, end);
    at = end;
  }
}

/** The text that starts at a place and ends before a zero byte. */
export function textAt(bytes: Buffer, start: number): { text: string; end: number } {
  const end = bytes.indexOf(0, start);
  return { text: bytes.toString('utf8', start, end), end: end + 1 };
}
