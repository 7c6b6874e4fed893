/**
 * Whether a value is a snapshot of @openai/agents that this port can read.
 */
import { SnapshotError } from '../errors.js';
import { isObj, type Obj, obj } from './json.js';
import { malformed } from './malformed.js';

/** The newest schema of @openai/agents this port knows: that of 0.20.0. */
export const NEWEST_SCHEMA = '1.22';

const NEWEST_MINOR = 22;

type Check = (value: unknown) => boolean;

const isList: Check = Array.isArray;
const isObject: Check = isObj;

/** Keys that a snapshot of any schema has, with what they must be. */
const REQUIRED: readonly (readonly [string, string, Check])[] = [
  ['currentTurn', 'a turn count', (value) => Number.isInteger(value) && Number(value) >= 0],
  ['currentAgent', 'an agent reference', (value) => typeof obj(value).name === 'string'],
  ['originalInput', 'text or a list', (value) => typeof value === 'string' || isList(value)],
  ['modelResponses', 'a list', isList],
  ['context', 'an object', isObject],
  ['toolUseTracker', 'an object', isObject],
  ['maxTurns', 'a turn limit or null', (value) => value === null || Number.isInteger(value)],
  ['noActiveAgentRun', 'true or false', (value) => typeof value === 'boolean'],
  ['inputGuardrailResults', 'a list', isList],
  ['outputGuardrailResults', 'a list', isList],
  ['generatedItems', 'a list', isList],
  ['trace', 'a trace or null', (value) => value === null || isObj(value)],
];

const CONTEXT: readonly string[] = ['usage', 'approvals', 'context'];

/** The schema version after the dot. */
export function minorOf(native: Obj): number {
  return Number(String(native.$schemaVersion).split('.')[1]);
}

/**
 * Checks a snapshot before anything is converted.
 *
 * @throws {DocumentError} `malformed`, with the key that is missing or wrong.
 * @throws {SnapshotError} `foreign-writer`, `unknown-schema`
 */
export function checkSnapshot(native: unknown, pointer: string): asserts native is Obj {
  if (!isObj(native)) {
    throw malformed(pointer, 'an object');
  }
  if (!('currentTurn' in native)) {
    if ('current_turn' in native) {
      throw new SnapshotError(
        `this is a raw openai-agents snapshot of Python (schema ${native.$schemaVersion})`,
        'foreign-writer',
        { pointer },
      );
    }
    if (native.format === 'timestep.run_state') {
      throw malformed(pointer, 'a snapshot but already a portable run state');
    }
  }
  const version = native.$schemaVersion;
  if (typeof version !== 'string') {
    throw malformed(`${pointer}/$schemaVersion`, 'a schema version');
  }
  const [major, minor, ...more] = version.split('.');
  const known = major === '1' && more.length === 0 && /^(0|[1-9]\d*)$/.test(minor ?? '');
  if (!known || Number(minor) > NEWEST_MINOR) {
    throw new SnapshotError(
      `schema ${version} is not known; this port reads 1.0 to ${NEWEST_SCHEMA}`,
      'unknown-schema',
      { pointer: `${pointer}/$schemaVersion` },
    );
  }
  for (const [key, wanted, check] of REQUIRED) {
    if (!check(native[key])) {
      throw malformed(`${pointer}/${key}`, wanted);
    }
  }
  for (const key of CONTEXT) {
    if (!isObj(obj(native.context)[key])) {
      throw malformed(`${pointer}/context/${key}`, 'an object');
    }
  }
}
