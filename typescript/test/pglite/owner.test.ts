/** The owner of a folder: turns, ends, and an engine that dies. */
import { once } from 'node:events';
import { mkdtemp, rm, unlink, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { Engine } from '../../src/pglite/engine.js';
import { query } from '../../src/pglite/protocol.js';
import { Owner } from '../../src/pglite/server.js';

let root: string;
let owner: Owner;
let clients: pg.Client[];

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'timestep-owner-'));
  owner = (await Owner.open(join(root, 'shared'))) as Owner;
}, 120_000);

afterAll(async () => {
  await owner.close();
  await rm(root, { recursive: true });
});

beforeEach(() => {
  clients = [];
});

afterEach(async () => {
  await Promise.all(clients.map((client) => client.end()));
});

async function client(of: Owner = owner): Promise<pg.Client> {
  const made = new pg.Client({ host: of.place.host, user: 'postgres', database: 'postgres' });
  made.on('error', () => undefined); // an owner that ends says so
  await made.connect();
  clients.push(made);
  return made;
}

async function first(rows: Promise<{ rows: unknown[] }>): Promise<unknown> {
  return (await rows).rows[0];
}

test('a statement of one name is another one for another client', async () => {
  const [one, other] = [await client(), await client()];
  const name = `statement_${'x'.repeat(52)}`;
  expect(await first(one.query({ name, text: 'SELECT 1 AS a' }))).toEqual({ a: 1 });
  expect(await first(other.query({ name, text: 'SELECT 2 AS b' }))).toEqual({ b: 2 });
  expect(await first(one.query({ name, text: 'SELECT 1 AS a' }))).toEqual({ a: 1 });
});

test('this process and its clients take turns', async () => {
  const other = await client();
  await other.query('CREATE TABLE turns (who text)');
  await other.query('BEGIN');
  await other.query("INSERT INTO turns VALUES ('client')");
  const waiting = owner.run((database) => database.query('SELECT who FROM turns'));
  await other.query("INSERT INTO turns VALUES ('client')");
  await other.query('COMMIT');
  expect((await waiting).rows).toHaveLength(2);
});

test('four hundred statements on four connections', async () => {
  const pool = new pg.Pool({ host: owner.place.host, user: 'postgres', max: 4 });
  const numbers = Array.from({ length: 400 }, (_, number) => number);
  const answers = await Promise.all(
    numbers.map((number) => first(pool.query('SELECT $1::int AS number', [number]))),
  );
  expect(answers).toEqual(numbers.map((number) => ({ number })));
  await pool.end();
});

test('a client hears what this process says to a channel', async () => {
  const listener = await client();
  await listener.query('LISTEN news');
  const heard = new Promise((resolve) => listener.once('notification', resolve));
  await owner.run((database) => database.exec("NOTIFY news, 'hello'"));
  expect(await heard).toMatchObject({ channel: 'news', payload: 'hello' });
});

test('an engine that dies is opened again, with all that was acknowledged', async () => {
  const [one, other] = [await client(), await client()];
  await one.query('CREATE TABLE kept (number int)');
  await one.query('INSERT INTO kept VALUES (1)');
  const ended = new Promise((resolve) => other.once('error', resolve));
  const { send } = Engine.prototype;
  // Without what a connection adds to it, this ends the engine.
  vi.spyOn(Engine.prototype, 'send').mockImplementationOnce(function (this: Engine) {
    return send.call(this, query('COPY kept FROM STDIN'));
  });
  await expect(one.query('INSERT INTO kept VALUES (2)')).rejects.toThrow();
  expect(await ended).toMatchObject({ code: '57P02' });
  expect(await first((await client()).query('SELECT number FROM kept'))).toEqual({ number: 1 });
  const { rows } = await owner.run((database) => database.query('SELECT number FROM kept'));
  expect(rows).toEqual([{ number: 1 }]);
}, 60_000);

test('a transaction that is left open is rolled back, and others go on', async () => {
  const impatient = (await Owner.open(join(root, 'impatient'), { patience: 100 })) as Owner;
  const [idle, other] = [await client(impatient), await client(impatient)];
  await idle.query('CREATE TABLE open (number int)');
  const ended = new Promise((resolve) => idle.once('error', resolve));
  await idle.query('BEGIN');
  await idle.query('INSERT INTO open VALUES (1)');
  const count = first(other.query('SELECT count(*)::int AS count FROM open'));
  expect(await ended).toMatchObject({ code: '25P03' });
  expect(await count).toEqual({ count: 0 });
  await impatient.close();
}, 60_000);

test('who has lost the folder stops, and the next owner has everything', async () => {
  const folder = join(root, 'lost');
  const before = (await Owner.open(folder)) as Owner;
  expect(await Owner.open(folder)).toBeUndefined();
  await before.run((database) => database.exec('CREATE TABLE kept (number int)'));
  await unlink(before.place.socket);
  await expect(before.run((database) => database.exec('SELECT 1'))).rejects.toMatchObject({
    code: 'database-unavailable',
  });
  expect(before.owns).toBe(false);
  const next = (await Owner.open(folder)) as Owner;
  await before.close();
  expect(next.owns).toBe(true);
  const { rows } = await next.run((database) => database.query('SELECT number FROM kept'));
  expect(rows).toEqual([]);
  await next.close();
}, 60_000);

test('a database that was being made is made anew', async () => {
  const folder = join(root, 'again');
  const before = (await Owner.open(folder)) as Owner;
  await before.close();
  await writeFile(join(folder, '.creating'), '');
  await writeFile(join(folder, 'data', 'pg_hba.conf'), 'cut o');
  await rm(join(folder, 'data', 'base'), { recursive: true });
  const next = (await Owner.open(folder)) as Owner;
  expect((await next.run((database) => database.query('SELECT 1 AS one'))).rows).toEqual([
    { one: 1 },
  ]);
  await next.close();
}, 60_000);

test('a client that goes before it is answered harms nobody', async () => {
  for (let count = 0; count < 20; count += 1) {
    const socket = connect(owner.place.socket);
    await once(socket, 'connect');
    socket.write(Buffer.alloc(64, 0xff)); // nonsense, which is answered with an error
    socket.destroy();
  }
  expect(await first((await client()).query('SELECT 1 AS one'))).toEqual({ one: 1 });
});
