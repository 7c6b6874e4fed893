/** Databases of their own on a real PostgreSQL server, for tests. */
import { randomUUID } from 'node:crypto';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import pg from 'pg';
import { inject, onTestFinished } from 'vitest';

/** The URL of an empty database, which is dropped when the test is over, or when `atEnd` says. */
export async function postgres(
  atEnd: (drop: () => Promise<void>) => void = onTestFinished,
): Promise<string> {
  const server = await text(connect(inject('postgres')));
  if (server === '') {
    throw new Error('the PostgreSQL server of the tests did not start');
  }
  const name = `timestep_${randomUUID().slice(0, 8)}`;
  await run(server, `CREATE DATABASE ${name}`);
  atEnd(() => run(server, `DROP DATABASE ${name} WITH (FORCE)`));
  return server.replace(/^(\w+:\/\/[^/?]*)(\/[^?]*)?/, `$1/${name}`);
}

async function run(url: string, statement: string): Promise<void> {
  const client = new pg.Client(url);
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}
