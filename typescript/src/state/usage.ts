/**
 * Token usage.
 */
import type { Usage } from './document.js';
import { deepEqual, hasKeys, type Obj, obj, objs, put } from './json.js';

type Details = Usage['input_tokens_details'];
type Entry = Usage['entries'][number];

function count(value: unknown): number {
  return typeof value === 'number' ? value : 0;
}

/** Adds up details; TypeScript keeps one object for each addition. */
function sum(details: unknown): Details {
  const total: Details = {};
  if (Array.isArray(details)) {
    for (const entry of details) {
      add(total, obj(entry));
    }
  } else {
    add(total, obj(details));
  }
  return total;
}

function add(total: Details, details: Obj): void {
  for (const key in details) {
    const value = details[key];
    if (typeof value === 'number') {
      total[key] = (total[key] ?? 0) + value;
    }
  }
}

/** Usage of a snapshot as the document keeps it. */
export function usageToPortable(value: unknown): Usage {
  const usage = obj(value);
  return {
    requests: count(usage.requests),
    input_tokens: count(usage.inputTokens),
    output_tokens: count(usage.outputTokens),
    total_tokens: count(usage.totalTokens),
    input_tokens_details: sum(usage.inputTokensDetails),
    output_tokens_details: sum(usage.outputTokensDetails),
    entries: objs(usage.requestUsageEntries).map((entry) => ({
      input_tokens: count(entry.inputTokens),
      output_tokens: count(entry.outputTokens),
      total_tokens: count(entry.totalTokens),
      input_tokens_details: sum(entry.inputTokensDetails),
      output_tokens_details: sum(entry.outputTokensDetails),
    })),
  };
}

/** One object for each addition, where the entries say what they were. */
function split(total: Details, parts: readonly Details[]): Obj[] {
  if (parts.length > 0 && deepEqual(sum(parts), total)) {
    return parts.map((part) => part);
  }
  return hasKeys(total) ? [total] : [];
}

function entryToNative(entry: Entry, endpoint: string | undefined): Obj {
  const native: Obj = {
    inputTokens: entry.input_tokens,
    outputTokens: entry.output_tokens,
    totalTokens: entry.total_tokens,
    inputTokensDetails: entry.input_tokens_details,
    outputTokensDetails: entry.output_tokens_details,
  };
  put(native, 'endpoint', endpoint);
  return native;
}

/**
 * Usage as @openai/agents 0.20.0 writes it.
 *
 * @param endpoint where the requests went; only known of runs this SDK made.
 */
export function usageToNative(usage: Usage, endpoint: string | undefined): Obj {
  const native: Obj = {
    requests: usage.requests,
    inputTokens: usage.input_tokens,
    outputTokens: usage.output_tokens,
    totalTokens: usage.total_tokens,
    inputTokensDetails: split(
      usage.input_tokens_details,
      usage.entries.map((entry) => entry.input_tokens_details),
    ),
    outputTokensDetails: split(
      usage.output_tokens_details,
      usage.entries.map((entry) => entry.output_tokens_details),
    ),
  };
  if (usage.entries.length > 0) {
    native.requestUsageEntries = usage.entries.map((entry) => entryToNative(entry, endpoint));
  }
  return native;
}
