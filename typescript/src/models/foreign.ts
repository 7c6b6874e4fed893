/** What OpenAI is told of items that another model made. */
import type { AgentInputItem, Model, ModelRequest } from '@openai/agents';
import { isObj, type Obj, obj } from '../state/json.js';

const PLACEHOLDER_IDS: readonly unknown[] = ['FAKE_ID', '__fake_id__'];

/**
 * The same model, given only what OpenAI knows.
 *
 * openai-agents leaves `provider_data` out of what it sends to OpenAI, and thinking that has some
 * with it; @openai/agents 0.20.0 sends both, and OpenAI refuses the request.
 */
export function withoutForeign(model: Model): Model {
  return new Proxy(model, {
    get(target, key) {
      const value: unknown = Reflect.get(target, key, target);
      if (typeof value !== 'function') {
        return value;
      }
      if (key === 'getResponse' || key === 'getStreamedResponse') {
        return (request: ModelRequest) => value.call(target, clean(request));
      }
      return value.bind(target);
    },
  });
}

function clean(request: ModelRequest): ModelRequest {
  const { input } = request;
  if (typeof input === 'string' || !input.some(isForeign)) {
    return request;
  }
  return { ...request, input: input.flatMap((item) => (isForeign(item) ? known(item) : item)) };
}

function isForeign(item: AgentInputItem): boolean {
  return isObj(obj(item.providerData).provider_data);
}

function known(item: AgentInputItem): AgentInputItem[] {
  if (item.type === 'reasoning') {
    return [];
  }
  const { provider_data: _of, ...providerData } = obj(item.providerData);
  const { id, ...rest } = item as Obj;
  const named = PLACEHOLDER_IDS.includes(id) ? rest : item;
  return [{ ...named, providerData } as AgentInputItem];
}
