/** Snapshots and documents the tests read: those of this repository, and what may lie beside it. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import type { PortableRunState } from '../../src/state/document.js';
import type { Obj } from '../../src/state/json.js';

const FIXTURES = new URL('../../../conformance/fixtures/', import.meta.url);

/** A JSON file below conformance/fixtures. */
export function fixture(name: string): Obj {
  return JSON.parse(readFileSync(new URL(name, FIXTURES), 'utf8'));
}

/** A snapshot of @openai/agents 0.20.0. */
export function snapshot(name: string): Obj {
  return fixture(`typescript/0.20.0/${name}.json`);
}

/** A document the Python port wrote. */
export function fromPython(name: string): PortableRunState {
  return fixture(`portable/python-${name}.json`) as unknown as PortableRunState;
}

/** Every snapshot of @openai/agents in the repository, by release and name. */
export function snapshots(): [string, Obj][] {
  const folder = new URL('typescript/', FIXTURES);
  return readdirSync(folder).flatMap((release) =>
    readdirSync(new URL(`${release}/`, folder))
      .filter((name) => name.endsWith('.json'))
      .map((name): [string, Obj] => [
        `${release}/${name}`,
        fixture(`typescript/${release}/${name}`),
      ]),
  );
}

/** A document taken over: without what its own language kept. */
export function foreign(document: PortableRunState): PortableRunState {
  const { residue: _residue, ...core } = structuredClone(document);
  return core as PortableRunState;
}

const EXTERNAL = process.env.TIMESTEP_EXTERNAL
  ? new URL(`file://${process.env.TIMESTEP_EXTERNAL}/`)
  : new URL('../../../../shared/', import.meta.url);

/** Whether the outside material is there. */
export const hasExternal = existsSync(new URL('corpus/', EXTERNAL));

/** The snapshots of the scenario pairs for one language, by name. */
export function scenarios(suffix: '.ts.json' | '.py.json'): [string, Obj][] {
  const folder = new URL('scenarios/snapshots/', EXTERNAL);
  return readdirSync(folder)
    .filter((name) => name.endsWith(suffix))
    .map((name) => [name, JSON.parse(readFileSync(new URL(name, folder), 'utf8'))]);
}

/** The rows of a corpus file. */
export function corpus(name: string): Obj[] {
  const bytes = readFileSync(new URL(`corpus/${name}`, EXTERNAL));
  const text = name.endsWith('.gz') ? gunzipSync(bytes).toString('utf8') : bytes.toString('utf8');
  return text
    .split('\n')
    .filter((line) => line.length > 0)
    .map((line) => JSON.parse(line));
}
