/**
 * The names that clients of one session would share, kept apart.
 *
 * The engine has one session: prepared statements of all connections have one list of names, and
 * who listens to a channel listens for all. Each connection gets a prefix for the names of its
 * statements, in the protocol and in `DEALLOCATE`.
 */
import { createHash } from 'node:crypto';
import { message, query, textAt, typeOf } from './protocol.js';

const DEALLOCATE = /^\s*deallocate\s+(?:prepare\s+)?("(?:[^"]|"")+"|[\w$]+)\s*;?\s*$/i;
const DISCARD = /^\s*discard\s+(?:all|plans)\s*;?\s*$/i;
const LISTEN = /^\s*(un)?listen\s+("(?:[^"]|"")+"|[\w$]+|\*)\s*$/i;
/** PostgreSQL cuts longer names off, in bytes. */
const LONGEST_NAME = 63;

/** What one connection has prepared and listens to. */
export class Statements {
  readonly #prefix: string;
  readonly #names = new Set<string>();
  /** The channels this connection listens to. */
  readonly channels = new Set<string>();

  constructor(connection: number) {
    this.#prefix = `c${connection}_`;
  }

  /** Whether it has left something in the session. */
  get used(): boolean {
    return this.#names.size > 0 || this.channels.size > 0;
  }

  /** A message as the engine shall get it, and its SQL where it has some. */
  rewrite(bytes: Buffer): { bytes: Buffer; sql?: string } {
    switch (typeOf(bytes)) {
      case 'Q': {
        const sql = textAt(bytes, 5).text;
        const other = this.#ownOnly(sql);
        return { bytes: other === sql ? bytes : query(other), sql };
      }
      case 'P': {
        const name = textAt(bytes, 5);
        const sql = textAt(bytes, name.end);
        const other = this.#ownOnly(sql.text);
        const fresh = this.#name(name.text);
        this.#names.add(fresh);
        const same = other === sql.text && name.text === '';
        return {
          bytes: same ? bytes : message('P', `${fresh}\0${other}\0`, bytes.subarray(sql.end)),
          sql: sql.text,
        };
      }
      case 'B': {
        const portal = textAt(bytes, 5);
        const name = textAt(bytes, portal.end);
        if (name.text === '') {
          return { bytes };
        }
        const fresh = `${portal.text}\0${this.#name(name.text)}\0`;
        return { bytes: message('B', fresh, bytes.subarray(name.end)) };
      }
      case 'D':
      case 'C': {
        const name = textAt(bytes, 6);
        if (bytes[5] !== 0x53 || name.text === '') {
          return { bytes };
        }
        return { bytes: message(typeOf(bytes), `S${this.#name(name.text)}\0`) };
      }
      default:
        return { bytes };
    }
  }

  /** Notes what SQL that has succeeded said about channels; whether it gave any up. */
  heard(sql: string): boolean {
    if (!/listen/i.test(sql)) {
      return false;
    }
    let less = false;
    for (const statement of sql.split(';')) {
      const found = LISTEN.exec(statement);
      const channel = found?.[2];
      if (channel === undefined) {
        continue;
      }
      if (found?.[1] === undefined) {
        this.channels.add(unquoted(channel));
      } else if (channel === '*') {
        this.channels.clear();
        less = true;
      } else {
        this.channels.delete(unquoted(channel));
        less = true;
      }
    }
    return less;
  }

  /** SQL that takes out of the session what this connection has prepared. */
  deallocateAll(): string {
    this.#names.clear();
    return (
      `DO $$ DECLARE n text; BEGIN FOR n IN SELECT name FROM pg_catalog.pg_prepared_statements ` +
      `WHERE pg_catalog.starts_with(name, '${this.#prefix}') ` +
      `LOOP EXECUTE 'DEALLOCATE ' || pg_catalog.quote_ident(n); END LOOP; END $$`
    );
  }

  #name(name: string): string {
    if (name === '') {
      return '';
    }
    const fresh = this.#prefix + name;
    return Buffer.byteLength(fresh) <= LONGEST_NAME
      ? fresh
      : this.#prefix + createHash('sha256').update(name).digest('hex').slice(0, 40);
  }

  #ownOnly(sql: string): string {
    const name = DEALLOCATE.exec(sql)?.[1];
    if (name !== undefined) {
      if (name.toLowerCase() === 'all') {
        return this.deallocateAll(); // one command, as the client expects
      }
      const fresh = this.#name(unquoted(name));
      return this.#names.delete(fresh) ? `DEALLOCATE ${quoted(fresh)}` : sql;
    }
    return DISCARD.test(sql) ? this.deallocateAll() : sql;
  }
}

/** A name as SQL takes it whatever is in it. */
export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

function unquoted(name: string): string {
  return name.startsWith('"') ? name.slice(1, -1).replaceAll('""', '"') : name.toLowerCase();
}
