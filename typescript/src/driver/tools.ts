/** Tools of the agents catalogue, made from data. */
import { setTimeout as sleep } from 'node:timers/promises';
import {
  applyPatchTool,
  type Computer,
  codeInterpreterTool,
  computerTool,
  type Editor,
  fileSearchTool,
  imageGenerationTool,
  programmaticToolCallingTool,
  shellTool,
  type Tool,
  type ToolInputParameters,
  tool,
  toolNamespace,
  toolSearchTool,
  ToolGuardrailFunctionOutputFactory as Verdict,
  webSearchTool,
} from '@openai/agents';
import { type Ledger, returned } from './effects.js';
import { type Row, row, rows, text, texts } from './json.js';
import type { AnyAgent } from './stubs.js';

type Schema = Extract<ToolInputParameters, { additionalProperties: false }>;

/** The JSON Schema of a tool's parameters; a list names required texts. */
export function parametersSchema(parameters: unknown): Row {
  if (!Array.isArray(parameters)) {
    return row(parameters) ?? {};
  }
  const names = texts(parameters);
  return {
    type: 'object',
    properties: Object.fromEntries(names.map((name) => [name, { type: 'string' }])),
    required: names,
    additionalProperties: false,
  };
}

function verdict(guardrail: Row, checked: string) {
  const holds = (mark: unknown) => typeof mark === 'string' && checked.includes(mark);
  const info = guardrail.info ?? null;
  if (holds(guardrail.raise_on)) {
    return Verdict.throwException(info);
  }
  return holds(guardrail.reject_on)
    ? Verdict.rejectContent(text(guardrail.message) ?? '', info)
    : Verdict.allow(info);
}

function functionTool(described: Row, ledger: Ledger): Tool {
  const name = String(described.name);
  const made = tool<Schema, unknown>({
    name,
    description: String(described.description),
    parameters: parametersSchema(described.parameters) as unknown as Schema,
    strict: true,
    needsApproval: described.needs_approval === true,
    deferLoading: described.defer_loading === true,
    ...(Array.isArray(described.allowed_callers) && {
      allowedCallers: texts(described.allowed_callers) as never,
    }),
    // What the model reads when the tool fails: the same text in every port.
    errorFunction: (_context, error) =>
      `${name} failed: ${error instanceof Error ? error.message : String(error)}`,
    inputGuardrails: rows(described.input_guardrails).map((guardrail) => ({
      name: String(guardrail.name),
      run: async ({ toolCall }) => verdict(guardrail, toolCall.arguments),
    })),
    outputGuardrails: rows(described.output_guardrails).map((guardrail) => ({
      name: String(guardrail.name),
      run: async ({ output }) =>
        verdict(guardrail, typeof output === 'string' ? output : JSON.stringify(output)),
    })),
    execute: async (given: unknown) => {
      const args = row(given) ?? {};
      ledger.add(name, args);
      if (typeof described.delay_ms === 'number') {
        await sleep(described.delay_ms);
      }
      if (typeof described.fails === 'string') {
        throw new Error(described.fails);
      }
      return returned(described.returns, args);
    },
  });
  const namespace = row(described.namespace);
  if (namespace === undefined) {
    return made;
  }
  const [named] = toolNamespace({
    name: String(namespace.name),
    description: String(namespace.description),
    tools: [made],
  });
  return named ?? made;
}

function shell(described: Row, ledger: Ledger): Tool {
  return shellTool({
    needsApproval: described.needs_approval === true,
    shell: {
      run: async ({ commands }) => {
        ledger.add('shell', { commands });
        return {
          output: [
            {
              stdout: String(described.returns),
              stderr: '',
              outcome: { type: 'exit', exitCode: 0 },
            },
          ],
        };
      },
    },
  });
}

function applyPatch(described: Row, ledger: Ledger): Tool {
  const apply = async (operation: { type: string; path: string; diff?: string }) => {
    const { type, path, diff } = operation;
    ledger.add('apply_patch', { type, path, ...(diff !== undefined && { diff }) });
    return { status: 'completed' as const, output: String(described.returns) };
  };
  const editor: Editor = { createFile: apply, updateFile: apply, deleteFile: apply };
  return applyPatchTool({ editor, needsApproval: described.needs_approval === true });
}

function computer(described: Row, ledger: Ledger): Tool {
  const act = async (type: string, details: Row = {}) =>
    ledger.add('computer', { type, ...details });
  const machine: Computer = {
    environment: 'browser',
    dimensions: [1024, 768],
    screenshot: async () => String(described.returns),
    click: (x, y, button) => act('click', { x, y, button }),
    doubleClick: (x, y) => act('double_click', { x, y }),
    scroll: (x, y, scrollX, scrollY) =>
      act('scroll', { x, y, scroll_x: scrollX, scroll_y: scrollY }),
    type: (typed) => act('type', { text: typed }),
    wait: () => act('wait'),
    move: (x, y) => act('move', { x, y }),
    keypress: (keys) => act('keypress', { keys }),
    drag: (path) => act('drag', { path }),
  };
  return computerTool({
    computer: machine,
    needsApproval: described.needs_approval === true,
  }) as Tool;
}

const MAKERS: Readonly<Record<string, (described: Row, ledger: Ledger) => Tool>> = {
  function: functionTool,
  shell,
  apply_patch: applyPatch,
  computer,
  hosted_mcp: ({ server_label, server_url, require_approval }) => ({
    type: 'hosted_tool',
    name: 'hosted_mcp',
    providerData: { type: 'mcp', server_label, server_url, require_approval },
  }),
  web_search: () => webSearchTool(),
  file_search: (described) => fileSearchTool(texts(described.vector_store_ids)),
  code_interpreter: () => codeInterpreterTool(),
  image_generation: () => imageGenerationTool(),
  tool_search: () => toolSearchTool(),
  programmatic: () => programmaticToolCallingTool(),
};

/** Kinds of tools only other SDKs have. */
const ABSENT = new Set(['custom', 'local_shell']);

/**
 * The SDK tools of a catalogue row: one, or none where this SDK has no such kind.
 *
 * @throws RangeError for a kind nobody knows.
 */
export function buildTool(
  described: Row,
  agents: ReadonlyMap<string, AnyAgent>,
  ledger: Ledger,
): Tool[] {
  const kind = String(described.kind);
  if (ABSENT.has(kind)) {
    return [];
  }
  if (kind === 'agent_tool') {
    const source = agents.get(String(described.agent));
    if (source === undefined) {
      throw new RangeError(`there is no agent ${described.agent}`);
    }
    const made = source.asTool({
      toolName: String(described.name),
      toolDescription: String(described.description),
      needsApproval: described.needs_approval === true,
    });
    return [made];
  }
  const make = MAKERS[kind];
  if (make === undefined) {
    throw new RangeError(`there is no kind of tool ${kind}`);
  }
  return [make(described, ledger)];
}
