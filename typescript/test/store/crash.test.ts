/** What is left of writers that died, were cut off, or wrote at the same time as others. */
import { appendFile, readdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { inflateSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import type { Piece } from '../../src/store/base.js';
import { FileBackend } from '../../src/store/file.js';
import { FolderBackend } from '../../src/store/folder.js';
import { checksum } from '../../src/store/pieces.js';
import { temporary } from './places.js';
import { worker } from './processes.js';

const FACTS = {
  agent: 'A',
  status: 'run_again' as const,
  turn: 1,
  language: 'typescript',
  pending: [],
  decided: {},
  calls: [],
  usage: [],
};

type Kind = 'file' | 'folder';

function backendAt(path: string) {
  return path.endsWith('.json') ? new FileBackend(path) : new FolderBackend(path);
}

async function placed(kind: Kind): Promise<string> {
  return join(await temporary(), kind === 'file' ? 'run.json' : 'runs');
}

/** A whole document as a piece of either kind of place. */
function piece(path: string, revision: number, text: string): Piece {
  const data = Buffer.from(text);
  const check = checksum(revision, undefined, data);
  return path.endsWith('.json')
    ? { revision, checksum: check, data }
    : { revision, checksum: check, data: new Uint8Array(), text };
}

/** The path of the log of the run in a folder. */
async function logOf(path: string): Promise<string> {
  const folder = join(path, 'runs', 'run');
  const [name = ''] = (await readdir(folder)).filter((each) => each.endsWith('.log'));
  return join(folder, name);
}

const SAVES = `
for (let revision = await newest() + 1; ; revision += 1) {
  await backend.save('run', piece(revision, JSON.stringify({ revision, pad: 'x'.repeat(20000) })), facts);
  console.log(revision);
}
`;

describe.each<Kind>(['file', 'folder'])('%s', { timeout: 120_000 }, (kind) => {
  test('no acknowledged save is lost by kill -9', async () => {
    const path = await placed(kind);
    const backend = backendAt(path);
    let acknowledged = 0;
    for (let round = 0; round < 12; round += 1) {
      const saving = worker(SAVES, [path]);
      for (let count = 0; count <= round % 4; count += 1) {
        acknowledged = Number((await saving.lines.next()).value);
      }
      saving.process.kill('SIGKILL');
      expect(await saving.ended).toBe('SIGKILL');
      for (let line = await saving.lines.next(); !line.done; line = await saving.lines.next()) {
        acknowledged = Number(line.value);
      }
      const { newest, pieces } = await backend.read('run');
      expect(newest - acknowledged).toBeOneOf([0, 1]);
      expect(pieces).toHaveLength(1);
      expect(String(await textOf(backend, newest))).toContain(`{"revision":${newest},`);
      acknowledged = newest;
    }
    if (kind === 'folder') {
      const numbers = (await backend.history('run')).map(({ revision }) => revision);
      expect(numbers).toEqual(Array.from({ length: acknowledged }, (_, index) => index + 1));
    }
  });

  test('of saves by many processes at once each revision is one of them', async () => {
    const path = await placed(kind);
    const saves = `
      for (let saved = 0; saved < 15; ) {
        const revision = await newest() + 1;
        try {
          await backend.save('run', piece(revision, JSON.stringify({ by: args[0], saved })), facts);
          console.log(revision);
          saved += 1;
        } catch (error) {
          if (error.code !== 'stale-state') throw error;
        }
      }`;
    const workers = ['a', 'b', 'c'].map((name) => worker(saves, [path, name]));
    const revisions: number[] = [];
    await Promise.all(
      workers.map(async ({ lines, ended }) => {
        for (let line = await lines.next(); !line.done; line = await lines.next()) {
          revisions.push(Number(line.value));
        }
        expect(await ended).toBe(0);
      }),
    );
    expect(revisions.toSorted((left, right) => left - right)).toEqual(
      Array.from({ length: 45 }, (_, index) => index + 1),
    );
    expect((await backendAt(path).read('run')).newest).toBe(45);
  });

  test('a disk that is full refuses the save and harms nothing', async () => {
    const path = await placed(kind);
    const backend = backendAt(path);
    await backend.save('run', piece(path, 1, '{"revision":1}'), FACTS);
    // A limit of the size of files does what a full disk does: it cuts the write short.
    const noise = 'Buffer.from(crypto.getRandomValues(new Uint8Array(40000))).toString("base64")';
    const saving = worker(
      `await backend.save('run', piece(2, JSON.stringify({ noise: ${noise} })), facts)
         .then(() => console.log('saved'), (error) => console.log(error.code));`,
      [path],
      { shell: "trap '' XFSZ; ulimit -f 16" },
    );
    expect((await saving.lines.next()).value).toBeOneOf(['ENOSPC', 'EFBIG']);
    expect(await saving.ended).toBe(0);
    expect((await backend.read('run')).newest).toBe(1);
    await backend.save('run', piece(path, 2, '{"revision":2}'), FACTS);
    expect((await backend.read('run')).newest).toBe(2);
    const left = await readdir(dirname(path));
    expect(left.filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });
});

async function textOf(backend: FileBackend | FolderBackend, revision: number): Promise<string> {
  const { pieces } = await backend.read('run');
  const [newest] = pieces;
  expect(newest?.revision).toBe(revision);
  const data = Buffer.from(newest?.data ?? []);
  const text = backend instanceof FolderBackend ? inflateSync(data) : data;
  expect(checksum(revision, undefined, text)).toEqual(new Uint8Array(newest?.checksum ?? []));
  return text.toString();
}

/** A module that dies when it is about to change a file that is there. */
function dying(name: 'rename' | 'link' | 'rm', work: string): string {
  return `
    import { existsSync } from 'node:fs';
    import fs from 'node:fs/promises';
    import { syncBuiltinESMExports } from 'node:module';
    const { ${name}: original } = fs;
    fs.${name} = (path, ...rest) => {
      if (existsSync(path)) process.kill(process.pid, 'SIGKILL');
      return original(path, ...rest);
    };
    syncBuiltinESMExports();
    ${work}`;
}

describe('a writer that dies halfway', { timeout: 60_000 }, () => {
  test('between the log and the rename leaves the new document to whoever comes', async () => {
    const path = await placed('file');
    const backend = new FileBackend(path);
    await backend.save('run', piece(path, 1, '{"revision":1}'), FACTS);
    const saving = worker(
      dying('rename', `await backend.save('run', piece(2, '{"revision":2}'), facts);`),
      [path],
    );
    expect(await saving.ended).toBe('SIGKILL');
    expect(await readFile(path, 'utf8')).toBe('{"revision":1}');
    await expect(
      backend.save('run', piece(path, 2, '{"revision":"2b"}'), FACTS),
    ).rejects.toMatchObject({ code: 'stale-state', revision: 2 });
    expect(await readFile(path, 'utf8')).toBe('{"revision":2}');
    expect((await readdir(dirname(path))).toSorted()).toEqual(['run.json', 'run.json.log']);
    await backend.save('run', piece(path, 3, '{"revision":3}'), FACTS);
    expect(await readFile(path, 'utf8')).toBe('{"revision":3}');
  });

  test('before the log leaves the old document', async () => {
    const path = await placed('file');
    const backend = new FileBackend(path);
    await backend.save('run', piece(path, 1, '{"revision":1}'), FACTS);
    // What such a writer leaves is its temporary file, which no line names.
    await writeFile(join(dirname(path), '.run.json.dead.tmp'), '{"revision":2}');
    expect((await backend.read('run')).newest).toBe(1);
    await backend.save('run', piece(path, 2, '{"revision":"2b"}'), FACTS);
    expect(await readFile(path, 'utf8')).toBe('{"revision":"2b"}');
  });

  test('while it prunes leaves the move to whoever comes', async () => {
    const path = await placed('folder');
    const backend = new FolderBackend(path);
    for (const revision of [1, 2, 3]) {
      await backend.save('run', piece(path, revision, `{"revision":${revision}}`), FACTS);
    }
    const before = await logOf(path);
    const pruning = worker(
      dying('link', `await backend.prune('run', piece(2, '{"revision":2}'));`),
      [path],
    );
    expect(await pruning.ended).toBe('SIGKILL');
    expect(await logOf(path)).toBe(before);
    const history = await backend.history('run');
    expect(history.map(({ revision }) => revision)).toEqual([2, 3]);
    expect(await logOf(path)).not.toBe(before);
    await backend.save('run', piece(path, 4, '{"revision":4}'), FACTS);
    await backend.clear('run');
    expect(await readdir(join(path, 'runs'))).toEqual([]);
  });

  test.each<Kind>(['file', 'folder'])('while it clears a %s leaves no run', async (kind) => {
    const path = await placed(kind);
    const backend = backendAt(path);
    await backend.save('run', piece(path, 1, '{"revision":1}'), FACTS);
    const clearing = worker(dying('rm', `await backend.clear('run');`), [path]);
    expect(await clearing.ended).toBe('SIGKILL');
    await expect(backend.read('run')).rejects.toMatchObject({ code: 'state-not-found' });
    await backend.save('run', piece(path, 1, '{"revision":"1b"}'), FACTS);
    expect(await textOf(backend, 1)).toBe('{"revision":"1b"}');
  });
});

describe('a torn end of a log', () => {
  test('is skipped, wherever it was cut', async () => {
    const path = await placed('folder');
    const backend = new FolderBackend(path);
    await backend.save('run', piece(path, 1, '{"revision":1}'), FACTS);
    const log = await logOf(path);
    const whole = await readFile(log);
    await backend.save('run', piece(path, 2, '{"revision":2}'), FACTS);
    const both = await readFile(log);
    for (let cut = whole.length; cut < both.length - 1; cut += 7) {
      await writeFile(log, both.subarray(0, cut));
      expect((await backend.read('run')).newest).toBe(1);
      await backend.save('run', piece(path, 2, `{"cut":${cut}}`), FACTS);
      expect(await textOf(backend, 2)).toBe(`{"cut":${cut}}`);
      expect(await backend.history('run')).toHaveLength(2);
    }
  });
});

describe('sessions', { timeout: 60_000 }, () => {
  test('keep what many processes add at once, each in its order', async () => {
    const path = await placed('folder');
    const adds = `
      for (let count = 0; count < 20; count += 1) {
        await backend.addItems('s', [JSON.stringify({ by: args[0], count }), '{"more":true}']);
      }`;
    const workers = ['a', 'b', 'c'].map((name) => worker(adds, [path, name]));
    expect(await Promise.all(workers.map(({ ended }) => ended))).toEqual([0, 0, 0]);
    const items = (await new FolderBackend(path).readItems('s')).map((item) =>
      JSON.parse(String(item)),
    );
    expect(items).toHaveLength(120);
    items.forEach((item, index) => {
      expect('more' in item).toBe(index % 2 === 1);
    });
    for (const name of ['a', 'b', 'c']) {
      const counts = items.filter(({ by }) => by === name).map(({ count }) => count);
      expect(counts).toEqual(Array.from({ length: 20 }, (_, index) => index));
    }
  });

  test('give each item to one who takes it', async () => {
    const path = await placed('folder');
    const backend = new FolderBackend(path);
    const all = Array.from({ length: 40 }, (_, index) => JSON.stringify({ index }));
    await backend.addItems('s', all);
    const pops = `
      for (let item = await backend.popItem('s'); item; item = await backend.popItem('s')) {
        console.log(item);
      }`;
    const taken: string[] = [];
    await Promise.all(
      ['a', 'b'].map(async (name) => {
        const { lines, ended } = worker(pops, [path, name]);
        for (let line = await lines.next(); !line.done; line = await lines.next()) {
          taken.push(line.value);
        }
        expect(await ended).toBe(0);
      }),
    );
    expect(taken.toSorted()).toEqual(all.toSorted());
    expect(await backend.readItems('s')).toEqual([]);
  });

  test('outlive a writer that was cut off', async () => {
    const path = await placed('folder');
    const backend = new FolderBackend(path);
    await backend.addItems('s', ['{"a":1}']);
    const folder = join(path, 'sessions', 's');
    const [name = ''] = await readdir(folder);
    await appendFile(join(folder, name), '\n{"id":"0123","at":"x","items":[{"torn":');
    expect(await backend.readItems('s')).toEqual(['{"a":1}']);
    await backend.addItems('s', ['{"b":2}']);
    expect(await backend.readItems('s')).toEqual(['{"a":1}', '{"b":2}']);
    expect(await backend.popItem('s')).toBe('{"b":2}');
    await truncate(join(folder, name), 0);
    expect(await backend.readItems('s')).toEqual([]);
  });
});
