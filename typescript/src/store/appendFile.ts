/** A file that many processes append lines to at once, without locks. */
import { constants } from 'node:fs';
import * as fs from 'node:fs/promises';
import { isMissing } from './disk.js';
import { type Entry, encode, entries, parse } from './log.js';

/** How much is read at once on the way back from the end, in bytes. */
const CHUNK = 65_536;

/** A file of lines that is open for one piece of work. */
export class AppendFile implements AsyncDisposable {
  /** Up to where it has been read: after the last finished line. */
  protected offset = 0;

  protected constructor(
    readonly path: string,
    private readonly handle: fs.FileHandle,
  ) {}

  /** Opens the file; undefined where there is none. */
  protected static async handle(path: string): Promise<fs.FileHandle | undefined> {
    try {
      return await fs.open(path, constants.O_RDWR | constants.O_APPEND);
    } catch (error) {
      if (isMissing(error)) {
        return undefined;
      }
      throw error;
    }
  }

  /** Opens the file; undefined where there is none. */
  static async open(path: string): Promise<AppendFile | undefined> {
    const handle = await AppendFile.handle(path);
    return handle === undefined ? undefined : new AppendFile(path, handle);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.handle.close();
  }

  /** Where the last finished line ends. */
  protected async lastEnd(size: number): Promise<number> {
    for (let end = size; end > 0; ) {
      const start = Math.max(0, end - CHUNK);
      const newline = (await this.bytes(start, end)).lastIndexOf(0x0a);
      if (newline !== -1) {
        return start + newline + 1;
      }
      end = start;
    }
    return 0;
  }

  /** Its length now, in bytes. */
  async size(): Promise<number> {
    return (await this.handle.stat()).size;
  }

  /** A part of the file. */
  async bytes(start: number, end: number): Promise<Buffer> {
    const buffer = Buffer.allocUnsafe(end - start);
    let filled = 0;
    while (filled < buffer.length) {
      const { bytesRead } = await this.handle.read(
        buffer,
        filled,
        buffer.length - filled,
        start + filled,
      );
      if (bytesRead === 0) {
        break;
      }
      filled += bytesRead;
    }
    return buffer.subarray(0, filled);
  }

  /** The lines from the last to the first, jumping over the data of each. */
  async *backward(from?: number): AsyncGenerator<Entry> {
    let end = from ?? this.offset;
    // `rest` are bytes of the file up to `end` that have been read and not been looked at.
    let rest: Buffer = Buffer.alloc(0);
    while (end > 0) {
      const newline = rest.length < 2 ? -1 : rest.lastIndexOf(0x0a, rest.length - 2);
      if (newline === -1 && rest.length < end) {
        const start = Math.max(0, end - rest.length - Math.max(CHUNK, rest.length));
        rest = Buffer.concat([await this.bytes(start, end - rest.length), rest]);
        continue;
      }
      const line = rest.at(-1) === 0x0a ? parse(rest.subarray(newline + 1, -1)) : undefined;
      const length = rest.length - newline - 1;
      const start = end - length;
      let jump = 0;
      if (line !== undefined) {
        const size = Number(line.size ?? 0);
        jump = Number.isSafeInteger(size) && size > 0 && size <= start ? size : 0;
        yield { line, start, end };
      }
      end = start - jump;
      const left = rest.length - length - jump;
      rest = left > 0 ? rest.subarray(0, left) : Buffer.alloc(0);
    }
  }

  /** Whether the path still names this file. */
  async current(): Promise<boolean> {
    try {
      const [named, own] = await Promise.all([fs.stat(this.path), this.handle.stat()]);
      return named.ino === own.ino && named.dev === own.dev;
    } catch (error) {
      if (isMissing(error)) {
        return false;
      }
      throw error;
    }
  }

  /** What has been appended since: the lines, data and damage left out. */
  async appended(): Promise<Entry[]> {
    const bytes = await this.bytes(this.offset, await this.size());
    const found = entries(bytes, this.offset);
    this.offset += bytes.lastIndexOf(0x0a) + 1;
    return found;
  }

  /**
   * Appends a line, and the data line before it, in one write, and syncs.
   *
   * Rejects with the error of the file system; nothing may be told as done then.
   */
  async write(line: object, data?: Uint8Array): Promise<void> {
    const buffer = encode(line, data);
    const { bytesWritten } = await this.handle.write(buffer);
    if (bytesWritten < buffer.length) {
      throw Object.assign(
        new Error(`ENOSPC: only ${bytesWritten} of ${buffer.length} bytes went to ${this.path}`),
        { code: 'ENOSPC', path: this.path },
      );
    }
    await this.handle.datasync();
  }
}
