/**
 * Built-in tools that run beside the agent: computer, shell and apply_patch.
 */
import { deepEqual, isObj, list, type Obj, obj, objs, put, str } from '../json.js';
import {
  callerToProtocol,
  callerToWire,
  type Family,
  oneOf,
  putOutputData,
  realId,
  rest,
  STATUSES,
  spread,
} from './table.js';

const COMPUTER_CALL = new Set(['type', 'call_id', 'id', 'action', 'actions', 'status']);
const COMPUTER_CALL_TYPED = new Set(['call_id', 'status', 'action', 'actions']);
const OUTPUT = new Set(['type', 'id', 'call_id', 'output']);
const OUTPUT_TYPED = new Set(['call_id', 'output']);
const CALL = new Set(['type', 'id', 'call_id', 'status', 'caller', 'action', 'operation']);
const CALL_TYPED = new Set(['call_id', 'status', 'caller', 'action', 'operation']);
const RUN_OUTPUT = new Set([
  'type',
  'id',
  'call_id',
  'output',
  'status',
  'caller',
  'max_output_length',
]);
const RUN_OUTPUT_TYPED = new Set(['call_id', 'output', 'status', 'caller', 'max_output_length']);

/** Keys that each computer action must have, by its type (zod schema of @openai/agents-core). */
const COMPUTER_ACTIONS = new Map<unknown, readonly string[]>(
  Object.entries({
    screenshot: [],
    click: ['x', 'y', 'button'],
    double_click: ['x', 'y'],
    scroll: ['x', 'y', 'scroll_x', 'scroll_y'],
    type: ['text'],
    wait: [],
    move: ['x', 'y'],
    keypress: ['keys'],
    drag: ['path'],
  }),
);

function isAction(value: unknown): value is Obj {
  const keys = isObj(value) ? COMPUTER_ACTIONS.get(value.type) : undefined;
  return keys?.every((key) => obj(value)[key] !== undefined) === true;
}

/** A call of the computer tool, with one action or a batch of them. */
export const computerCall: Family = {
  toWire(item) {
    const wire: Obj = { type: 'computer_call' };
    put(wire, 'id', realId(item.id));
    put(wire, 'call_id', item.callId);
    put(wire, 'status', item.status);
    const actions = list(item.actions);
    if (actions.length > 0) {
      wire.actions = actions;
    }
    // The SDK repeats the first action of a batch in `action`; the wire item had only the batch.
    if (actions.length === 0 || !deepEqual(item.action, actions[0])) {
      put(wire, 'action', item.action);
    }
    return spread(wire, item.providerData, COMPUTER_CALL);
  },
  toProtocol(wire) {
    const actions = list(wire.actions);
    const action = isObj(wire.action) ? wire.action : actions[0];
    if (!isAction(action) || !actions.every(isAction)) {
      return undefined;
    }
    const item: Obj = { providerData: rest(wire, COMPUTER_CALL_TYPED) };
    put(item, 'id', str(wire.id));
    item.type = 'computer_call';
    item.callId = wire.call_id;
    item.status = oneOf(wire.status, STATUSES) ?? 'completed';
    item.action = action;
    if (actions.length > 0) {
      item.actions = actions;
    }
    return item;
  },
};

/** A screenshot. One known only by a file id has no `protocol` form. */
export const computerOutput: Family = {
  toWire(item) {
    const wire: Obj = { type: 'computer_call_output' };
    put(wire, 'id', realId(item.id));
    put(wire, 'call_id', item.callId);
    const output = obj(item.output);
    wire.output = { type: 'computer_screenshot', image_url: output.data };
    return spread(wire, item.providerData, OUTPUT);
  },
  toProtocol(wire) {
    const output = obj(wire.output);
    if (typeof output.image_url !== 'string') {
      return undefined;
    }
    const item: Obj = {};
    putOutputData(item, rest(wire, OUTPUT_TYPED));
    put(item, 'id', str(wire.id));
    item.type = 'computer_call_result';
    item.callId = wire.call_id;
    item.output = { type: 'computer_screenshot', data: output.image_url };
    return item;
  },
};

function wholeNumber(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 ? value : undefined;
}

/** A call of the shell tool. */
export const shellCall: Family = {
  toWire(item) {
    const action = obj(item.action);
    const wire: Obj = { type: 'shell_call' };
    put(wire, 'id', realId(item.id));
    put(wire, 'call_id', item.callId);
    put(wire, 'status', item.status);
    wire.action = {
      commands: action.commands,
      timeout_ms: typeof action.timeoutMs === 'number' ? action.timeoutMs : null,
      max_output_length: typeof action.maxOutputLength === 'number' ? action.maxOutputLength : null,
    };
    callerToWire(wire, item.caller);
    return spread(wire, item.providerData, CALL);
  },
  toProtocol(wire) {
    const action = obj(wire.action);
    const item: Obj = { providerData: rest(wire, CALL_TYPED) };
    put(item, 'id', str(wire.id));
    item.type = 'shell_call';
    item.callId = wire.call_id;
    put(item, 'status', oneOf(wire.status, STATUSES));
    const shellAction: Obj = { commands: list(action.commands) };
    put(shellAction, 'timeoutMs', wholeNumber(action.timeout_ms));
    put(shellAction, 'maxOutputLength', wholeNumber(action.max_output_length));
    item.action = shellAction;
    callerToProtocol(item, wire.caller);
    return item;
  },
};

function chunkToWire(chunk: Obj): Obj {
  const outcome = obj(chunk.outcome);
  return {
    ...chunk,
    stdout: str(chunk.stdout) ?? '',
    stderr: str(chunk.stderr) ?? '',
    outcome:
      outcome.type === 'timeout'
        ? { type: 'timeout' }
        : { type: 'exit', exit_code: outcome.exitCode ?? 0 },
  };
}

function chunkToProtocol(chunk: Obj): Obj {
  const outcome = obj(chunk.outcome);
  return {
    ...chunk,
    stdout: str(chunk.stdout) ?? '',
    stderr: str(chunk.stderr) ?? '',
    outcome:
      outcome.type === 'timeout'
        ? { type: 'timeout' }
        : {
            type: 'exit',
            exitCode: typeof outcome.exit_code === 'number' ? outcome.exit_code : null,
          },
  };
}

/** What a shell call printed. */
export const shellOutput: Family = {
  toWire(item) {
    const wire: Obj = { type: 'shell_call_output' };
    put(wire, 'id', realId(item.id));
    put(wire, 'call_id', item.callId);
    // No status: openai-agents notes one and never sends it.
    wire.output = objs(item.output).map(chunkToWire);
    callerToWire(wire, item.caller);
    put(wire, 'max_output_length', item.maxOutputLength);
    return spread(wire, item.providerData, RUN_OUTPUT);
  },
  toProtocol(wire) {
    const item: Obj = {};
    putOutputData(item, rest(wire, RUN_OUTPUT_TYPED));
    put(item, 'id', str(wire.id));
    item.type = 'shell_call_output';
    item.callId = wire.call_id;
    put(item, 'status', oneOf(wire.status, STATUSES));
    if (typeof wire.max_output_length === 'number') {
      item.maxOutputLength = wire.max_output_length;
    }
    item.output = objs(wire.output).map(chunkToProtocol);
    callerToProtocol(item, wire.caller);
    return item;
  },
};

function operationToWire(operation: unknown): unknown {
  if (!isObj(operation) || operation.moveTo === undefined) {
    return operation;
  }
  const { moveTo, ...wire } = operation;
  return { ...wire, move_to: moveTo };
}

const OPERATIONS = new Map<unknown, readonly string[]>(
  Object.entries({
    create_file: ['path', 'diff'],
    update_file: ['path', 'diff'],
    delete_file: ['path'],
  }),
);

function operationToProtocol(operation: Obj): Obj | undefined {
  const keys = OPERATIONS.get(operation.type);
  if (!keys?.every((key) => typeof operation[key] === 'string')) {
    return undefined;
  }
  const item: Obj = { type: operation.type };
  for (const key of keys) {
    item[key] = operation[key];
  }
  if (operation.type === 'update_file') {
    put(item, 'moveTo', str(operation.move_to));
  }
  return item;
}

/** A change the model wants to make to a file. */
export const applyPatchCall: Family = {
  toWire(item) {
    const wire: Obj = { type: 'apply_patch_call' };
    put(wire, 'id', realId(item.id));
    put(wire, 'call_id', item.callId);
    put(wire, 'status', item.status);
    put(wire, 'operation', operationToWire(item.operation));
    callerToWire(wire, item.caller);
    return spread(wire, item.providerData, CALL);
  },
  toProtocol(wire) {
    const operation = operationToProtocol(obj(wire.operation));
    if (!operation) {
      return undefined;
    }
    const item: Obj = { providerData: rest(wire, CALL_TYPED) };
    put(item, 'id', str(wire.id));
    item.type = 'apply_patch_call';
    item.callId = wire.call_id;
    item.status = oneOf(wire.status, ['in_progress', 'completed'] as const) ?? 'in_progress';
    item.operation = operation;
    callerToProtocol(item, wire.caller);
    return item;
  },
};

/** Whether the change was made. */
export const applyPatchOutput: Family = {
  toWire(item) {
    const wire: Obj = { type: 'apply_patch_call_output' };
    put(wire, 'id', realId(item.id));
    put(wire, 'call_id', item.callId);
    put(wire, 'status', item.status);
    put(wire, 'output', item.output);
    callerToWire(wire, item.caller);
    return spread(wire, item.providerData, RUN_OUTPUT);
  },
  toProtocol(wire) {
    const item: Obj = {};
    putOutputData(item, rest(wire, RUN_OUTPUT_TYPED));
    put(item, 'id', str(wire.id));
    item.type = 'apply_patch_call_output';
    item.callId = wire.call_id;
    item.status = oneOf(wire.status, ['completed', 'failed'] as const) ?? 'completed';
    put(item, 'output', str(wire.output));
    callerToProtocol(item, wire.caller);
    return item;
  },
};
