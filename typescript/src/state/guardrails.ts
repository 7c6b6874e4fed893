/**
 * Guardrail results; both SDKs keep them for reading only.
 */
import type { PortableRunState } from './document.js';
import { type Obj, obj, objs, put, str } from './json.js';

type Guardrails = PortableRunState['guardrails'];
type Result = Guardrails['input'][number];
type ToolResult = Guardrails['tool_input'][number];
type Behavior = ToolResult['behavior'];

/** Outcome names: the document's first, TypeScript's second. */
const BEHAVIORS: readonly (readonly [Behavior['type'], string])[] = [
  ['allow', 'allow'],
  ['reject_content', 'rejectContent'],
  ['raise_exception', 'throwException'],
];

function resultToPortable(native: Obj): Result {
  const output = obj(native.output);
  const result: Result = {
    name: str(obj(native.guardrail).name) ?? '',
    tripwire_triggered: output.tripwireTriggered === true,
    output_info: output.outputInfo ?? null,
  };
  const agent = str(obj(native.agent).name);
  if (agent !== undefined) {
    result.agent = agent;
  }
  if (native.agentOutput !== undefined) {
    result.agent_output = native.agentOutput;
  }
  return result;
}

function toolResultToPortable(native: Obj): ToolResult {
  const output = obj(native.output);
  const behavior = obj(output.behavior);
  const result: ToolResult = {
    name: str(obj(native.guardrail).name) ?? '',
    behavior: { type: BEHAVIORS.find(([, name]) => name === behavior.type)?.[0] ?? 'allow' },
  };
  const message = str(behavior.message);
  if (message !== undefined) {
    result.behavior.message = message;
  }
  if (output.outputInfo !== undefined) {
    result.output_info = output.outputInfo;
  }
  return result;
}

/** The four lists of a snapshot as the document keeps them. */
export function guardrailsToPortable(native: Obj): Guardrails {
  return {
    input: objs(native.inputGuardrailResults).map(resultToPortable),
    output: objs(native.outputGuardrailResults).map(resultToPortable),
    tool_input: objs(native.toolInputGuardrailResults).map(toolResultToPortable),
    tool_output: objs(native.toolOutputGuardrailResults).map(toolResultToPortable),
  };
}

/**
 * `outputInfo` is always written: with zod 4.4 and newer, @openai/agents 0.20.0 refuses a result
 * without it.
 */
function resultToNative(result: Result, type: 'input' | 'output', agent: string): Obj {
  const native: Obj = { guardrail: { type, name: result.name } };
  if (type === 'output') {
    native.agentOutput = result.agent_output ?? null;
    native.agent = { name: result.agent ?? agent };
  }
  native.output = {
    tripwireTriggered: result.tripwire_triggered,
    outputInfo: result.output_info ?? null,
  };
  return native;
}

function toolResultToNative(result: ToolResult, type: 'tool_input' | 'tool_output'): Obj {
  const output: Obj = {};
  if (result.output_info !== undefined) {
    output.outputInfo = result.output_info;
  }
  const behavior: Obj = {
    type: BEHAVIORS.find(([name]) => name === result.behavior.type)?.[1],
  };
  put(behavior, 'message', result.behavior.message);
  if (behavior.type === 'rejectContent') {
    behavior.message ??= '';
  }
  output.behavior = behavior;
  return { guardrail: { type, name: result.name }, output };
}

/** The four lists as @openai/agents 0.20.0 writes them. */
export function guardrailsToNative(guardrails: Guardrails, agent: string): Obj {
  return {
    inputGuardrailResults: guardrails.input.map((r) => resultToNative(r, 'input', agent)),
    outputGuardrailResults: guardrails.output.map((r) => resultToNative(r, 'output', agent)),
    toolInputGuardrailResults: guardrails.tool_input.map((r) =>
      toolResultToNative(r, 'tool_input'),
    ),
    toolOutputGuardrailResults: guardrails.tool_output.map((r) =>
      toolResultToNative(r, 'tool_output'),
    ),
  };
}
