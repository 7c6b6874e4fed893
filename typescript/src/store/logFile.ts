/** The log of a run as a file. */
import { AppendFile } from './appendFile.js';
import { dataIn, EMPTY, type Entry, entries, type Folded, fold, type RunLog, Tail } from './log.js';

/** The log of a run that is open for one piece of work. */
export class LogFile extends AppendFile {
  /** What the log says, as far as it has been read. */
  state: RunLog = EMPTY;

  /** Opens the log and reads its end; undefined where there is none. */
  static override async open(path: string): Promise<LogFile | undefined> {
    const handle = await AppendFile.handle(path);
    if (handle === undefined) {
      return undefined;
    }
    const log = new LogFile(path, handle);
    try {
      await log.#readTail();
    } catch (error) {
      await handle.close();
      throw error;
    }
    return log;
  }

  async #readTail(): Promise<void> {
    this.offset = await this.lastEnd(await this.size());
    const tail = new Tail();
    for await (const entry of this.backward()) {
      if (tail.push(entry)) {
        break;
      }
    }
    this.state = tail.finish() ?? (await this.all()).state;
  }

  /** The accepted lines of the whole log, oldest first. */
  async all(): Promise<Folded> {
    // Forwards: on the way back, data that is not there would be jumped over all the same.
    return fold(EMPTY, entries(await this.bytes(0, this.offset), 0), new Set());
  }

  /** The accepted lines from the end back to the first one that is `enough`, oldest first. */
  async back(enough: (entry: Entry) => boolean): Promise<Entry[]> {
    const accepted: Entry[] = [];
    let wanted = this.state.last;
    for await (const entry of this.backward()) {
      if (entry.line.id === wanted) {
        accepted.push(entry);
        wanted = entry.line.after;
        if (wanted === undefined || enough(entry)) {
          return accepted.reverse();
        }
      }
    }
    // A line that is damaged breaks the chain; the whole log tells what is left of it.
    return (await this.all()).accepted;
  }

  /** The data line before a line, with its newline, as it is. */
  async dataLine({ line, start }: Entry): Promise<Buffer> {
    const size = Number(line.size);
    return size > 0 && size <= start ? this.bytes(start - size, start) : Buffer.alloc(0);
  }

  /** The bytes in the data lines before lines; undefined where they are damaged. */
  async data(lines: readonly Entry[]): Promise<(Buffer | undefined)[]> {
    const from = Math.min(...lines.map(({ line, start }) => start - Number(line.size)));
    if (!(from >= 0)) {
      return Promise.all(lines.map(async (entry) => dataIn(await this.dataLine(entry))));
    }
    // All of them at once: there is little else between them.
    const bytes = await this.bytes(from, lines.at(-1)?.start ?? from);
    return lines.map(({ line, start }) => {
      const end = start - from;
      return dataIn(bytes.subarray(end - Number(line.size), end));
    });
  }

  /**
   * Appends a line; whether it was accepted, by everybody who reads the log.
   *
   * Rejects with the error of the file system; nothing may be told as done then.
   */
  async append(line: object & { id: string }, data?: Uint8Array): Promise<boolean> {
    await this.write(line, data);
    const accepted = await this.refresh();
    if (!accepted.some((entry) => entry.line.id === line.id)) {
      return false;
    }
    if (await this.current()) {
      return true;
    }
    // It was moved or cleared after that, so the line counted; or else the file is lost.
    await this.refresh();
    return this.state.ended !== undefined;
  }

  /** Reads what has been appended since; the accepted lines. */
  async refresh(): Promise<Entry[]> {
    const { state, accepted } = fold(this.state, await this.appended());
    this.state = state;
    return accepted;
  }
}
