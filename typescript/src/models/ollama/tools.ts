/** Tools and handoffs as `tools` of a request, their schemas in the words the server keeps. */
import type { SerializedHandoff, SerializedTool } from '@openai/agents';
import { ModelError } from '../../errors.js';
import { isObj, type Obj } from '../../state/json.js';

// Keywords whose value is a schema, a list of schemas, or names with a schema each.
const ONE = new Set(['items', 'additionalProperties', 'not', 'contains', 'if', 'then', 'else']);
const MANY = new Set(['anyOf', 'oneOf', 'allOf', 'prefixItems']);
const NAMED = new Set(['properties', 'patternProperties', 'dependentSchemas']);
const DEFINITIONS = new Set(['$defs', 'definitions']);

/** A tool of a request. */
export interface OllamaTool {
  type: 'function';
  function: { name: string; description: string; parameters: Obj };
}

/**
 * Every function tool and every handoff, in this order.
 *
 * @throws ModelError `unsupported-tool` for a tool that is no function, `tool-conflict` where two
 * have one name.
 */
export function toTools(
  tools: readonly SerializedTool[],
  handoffs: readonly SerializedHandoff[],
): OllamaTool[] {
  const functions = tools.map((tool) => {
    if (tool.type !== 'function') {
      throw new ModelError(
        `An Ollama model takes function tools and handoffs, not '${tool.name}' (${tool.type}).`,
        'unsupported-tool',
      );
    }
    return toFunction(tool.name, tool.description, tool.parameters);
  });
  for (const { toolName, toolDescription, inputJsonSchema } of handoffs) {
    functions.push(toFunction(toolName, toolDescription, inputJsonSchema));
  }
  const seen = new Set<string>();
  for (const { function: each } of functions) {
    if (seen.has(each.name)) {
      throw new ModelError(`Two tools or handoffs have the name '${each.name}'.`, 'tool-conflict');
    }
    seen.add(each.name);
  }
  return functions;
}

/**
 * The same schema with local references put in place, for a server that drops `$ref`.
 *
 * `oneOf` becomes `anyOf` and `const` an `enum` of one. Where a reference leads back into itself
 * only its `type` and description stay.
 */
export function inline(schema: Obj): Obj {
  return inlined(schema, schema, []) as Obj;
}

function toFunction(name: string, description: string, parameters: unknown): OllamaTool {
  const schema = isObj(parameters) ? inline(parameters) : {};
  const empty = Object.keys(schema).length === 0;
  return {
    type: 'function',
    function: {
      name,
      description,
      parameters: empty ? { type: 'object', properties: {} } : schema,
    },
  };
}

/** `node` without references; `within` are those that led here. */
function inlined(root: Obj, node: unknown, within: readonly string[]): unknown {
  if (!isObj(node)) {
    return node;
  }
  const { $ref: reference, ...beside } = node;
  const target = typeof reference === 'string' ? resolve(root, reference) : undefined;
  if (typeof reference === 'string' && target !== undefined) {
    if (within.includes(reference)) {
      return { ...pick(target, 'type', 'description'), ...(inlined(root, beside, within) as Obj) };
    }
    return inlined(root, { ...target, ...beside }, [...within, reference]);
  }

  const each = (value: unknown) => inlined(root, value, within);
  const all = (value: unknown) => (Array.isArray(value) ? value.map(each) : value);
  const result: Obj = {};
  for (const [key, value] of Object.entries(node)) {
    if (DEFINITIONS.has(key)) {
      continue;
    }
    if (key === 'oneOf' && !('anyOf' in node)) {
      result.anyOf = all(value);
    } else if (key === 'const' && !('enum' in node)) {
      result.enum = [value];
    } else if (MANY.has(key)) {
      result[key] = all(value);
    } else if (ONE.has(key)) {
      result[key] = each(value);
    } else if (NAMED.has(key) && isObj(value)) {
      result[key] = Object.fromEntries(
        Object.entries(value).map(([name, schema]) => [name, each(schema)]),
      );
    } else {
      result[key] = value;
    }
  }
  return result;
}

/** The target of a local reference (RFC 6901 in a fragment); undefined for any other. */
function resolve(root: Obj, reference: string): Obj | undefined {
  if (!reference.startsWith('#')) {
    return undefined;
  }
  let target: unknown = root;
  for (const part of reference.slice(1).split('/').slice(1)) {
    const name = part.replaceAll('~1', '/').replaceAll('~0', '~');
    target = isObj(target) && Object.hasOwn(target, name) ? target[name] : undefined;
  }
  return isObj(target) ? target : undefined;
}

function pick(source: Obj, ...names: string[]): Obj {
  return Object.fromEntries(
    names.filter((name) => name in source).map((name) => [name, source[name]]),
  );
}
