/** What tests of the store share: locations of every kind, agents, and runs that wait. */
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Agent } from '@openai/agents';
import { afterAll, onTestFinished } from 'vitest';
import { runAgent } from '../../src/index.js';
import type { Backend } from '../../src/store/base.js';
import { openBackend } from '../../src/store/location.js';
import { scripted, weatherAgent } from '../model.js';
import { postgres } from '../postgres.js';

/** The kinds of locations. */
export const KINDS = ['file', 'folder', 'postgresql', 'pglite'] as const;

export type Kind = (typeof KINDS)[number];

/** A folder that goes when the test is over. */
export async function temporary(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'timestep-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A run's place: the location, and its id where the location keeps many. */
export interface Place {
  location: string;
  runId: string;
}

const ends: (() => Promise<void>)[] = [];
const shared = new Map<Kind, Promise<string>>();

afterAll(async () => {
  for (const end of ends.splice(0).reverse()) {
    await end();
  }
});

/** A place where no run is yet. A database is one for all tests of a file. */
export async function place(kind: Kind): Promise<Place> {
  const runId = `run-${randomUUID()}`;
  if (kind === 'file') {
    return { location: join(await temporary(), `${runId}.json`), runId };
  }
  if (kind === 'folder') {
    return { location: join(await temporary(), 'runs'), runId };
  }
  return { location: await started(kind), runId };
}

/** The database of a kind, running; nothing for the other kinds. */
export function started(kind: Kind): Promise<string> {
  const known = shared.get(kind);
  if (known !== undefined || kind === 'file' || kind === 'folder') {
    return known ?? Promise.resolve('');
  }
  const location = database(kind);
  shared.set(kind, location);
  return location;
}

async function database(kind: 'postgresql' | 'pglite'): Promise<string> {
  let location: string;
  if (kind === 'postgresql') {
    location = await postgres((drop) => ends.push(drop));
  } else {
    const folder = await mkdtemp(join(tmpdir(), 'timestep-'));
    ends.push(() => rm(folder, { recursive: true, force: true }));
    location = `pglite:${join(folder, 'data')}`;
  }
  // Kept open, so that no test starts it again.
  const backend = await openBackend(location);
  ends.push(() => backend.close());
  return location;
}

/** The backend of a location until the test is over. */
export async function opened(location: string): Promise<Backend> {
  const backend = await openBackend(location);
  onTestFinished(() => backend.close());
  return backend;
}

/** A run that waits for a decision. */
export async function paused(agent = weatherAgent(), input = 'Oslo?') {
  await using model = await scripted([1]);
  const { state } = await runAgent(agent, input, { modelProvider: model.provider });
  return state;
}

/** An agent that asks another one, whose tool has to be approved. */
export function askingAgent(calls: string[] = []) {
  const weather = weatherAgent(calls);
  const ask = weather.asTool({ toolName: 'ask_weather', toolDescription: 'Asks about weather.' });
  return new Agent({ name: 'Front', model: 'gpt-x', tools: [ask] });
}
