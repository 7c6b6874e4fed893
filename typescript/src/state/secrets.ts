/**
 * What is never kept, in no part of a document: tracing API keys, configurations of MCP servers,
 * raw bodies of model services. Nothing that resumes a run needs them.
 */
import { isObj, type Obj, step } from './json.js';

/** A snapshot without secrets, and where they were. */
export interface Stripped {
  native: Obj;
  lossy: string[];
}

/** Keys of a hosted MCP tool that are no configuration. */
const MCP_TOOL_KEYS = new Set(['type', 'server_label']);

/** The snapshot without what is never kept; everything else is shared with the original. */
export function withoutSecrets(native: Obj, pointer = ''): Stripped {
  const lossy: string[] = [];
  const clean: Obj = { ...native };
  if (Array.isArray(native.modelResponses)) {
    clean.modelResponses = native.modelResponses.map((response, index) =>
      withoutBody(response, `${pointer}/modelResponses/${index}`, lossy),
    );
  }
  if (native.lastModelResponse !== undefined) {
    clean.lastModelResponse = withoutBody(
      native.lastModelResponse,
      `${pointer}/lastModelResponse`,
      lossy,
    );
  }
  if (isObj(native.trace) && typeof native.trace.tracing_api_key === 'string') {
    const { tracing_api_key: _key, ...trace } = native.trace;
    clean.trace = trace;
    lossy.push(`${pointer}/trace/tracing_api_key`);
  }
  if (isObj(native.lastProcessedResponse)) {
    clean.lastProcessedResponse = withoutMcpConfig(
      native.lastProcessedResponse,
      `${pointer}/lastProcessedResponse`,
      lossy,
    );
  }
  if (isObj(native.pendingAgentToolRuns)) {
    clean.pendingAgentToolRuns = withoutNestedSecrets(
      native.pendingAgentToolRuns,
      `${pointer}/pendingAgentToolRuns`,
      lossy,
    );
  }
  return { native: clean, lossy };
}

function withoutBody(response: unknown, pointer: string, lossy: string[]): unknown {
  if (!isObj(response) || response.providerData === undefined) {
    return response;
  }
  const { providerData: _body, ...kept } = response;
  lossy.push(`${pointer}/providerData`);
  return kept;
}

function withoutMcpConfig(response: Obj, pointer: string, lossy: string[]): Obj {
  if (!Array.isArray(response.mcpApprovalRequests)) {
    return response;
  }
  let changed = false;
  const requests = response.mcpApprovalRequests.map((request, index) => {
    const tool = isObj(request) ? request.mcpTool : undefined;
    const config = isObj(tool) ? tool.providerData : undefined;
    if (!isObj(request) || !isObj(tool) || !isObj(config)) {
      return request;
    }
    const kept: Obj = {};
    let secret = false;
    for (const key of Object.keys(config)) {
      if (MCP_TOOL_KEYS.has(key)) {
        kept[key] = config[key];
      } else {
        secret = true;
        lossy.push(`${pointer}/mcpApprovalRequests/${index}/mcpTool/providerData${step(key)}`);
      }
    }
    changed ||= secret;
    return secret ? { ...request, mcpTool: { ...tool, providerData: kept } } : request;
  });
  return changed ? { ...response, mcpApprovalRequests: requests } : response;
}

/** A nested run is a JSON string; it is written anew only where something was taken out. */
function withoutNestedSecrets(runs: Obj, pointer: string, lossy: string[]): Obj {
  const clean: Obj = {};
  for (const [key, value] of Object.entries(runs)) {
    const nested = parseNested(value);
    const stripped = nested && withoutSecrets(nested, pointer + step(key));
    clean[key] = stripped?.lossy.length ? JSON.stringify(stripped.native) : value;
    lossy.push(...(stripped?.lossy ?? []));
  }
  return clean;
}

/** The snapshot inside a nested run's string. */
export function parseNested(value: unknown): Obj | undefined {
  if (typeof value !== 'string') {
    return undefined;
  }
  try {
    const parsed: unknown = JSON.parse(value);
    return isObj(parsed) && isObj(parsed.context) ? parsed : undefined;
  } catch {
    return undefined;
  }
}
