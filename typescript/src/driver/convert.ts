/** `state.convert`: the port's codec on documents, with or without a description of the agents. */
import { loadRunState, type StateOptions, toNative, toPortable } from '../state/index.js';
import { isRow, type Row, row } from './json.js';
import { Failure, requiredText } from './protocol.js';

/** The port's options from those of the protocol. */
export function stateOptions(options: Row): StateOptions {
  return {
    ...(options.assume_input_guardrails_completed === true && {
      assumeInputGuardrailsCompleted: true,
    }),
    ...(options.assume_no_local_mcp === true && { assumeNoLocalMcp: true }),
    ...(isRow(options.context) && { context: options.context }),
  };
}

/** The `state.convert` operation: between this SDK's snapshot and the portable document. */
export async function convert(args: Row): Promise<Row> {
  const route = `${requiredText(args, 'from')} to ${requiredText(args, 'to')}`;
  // Damaged on purpose in negative cases: the port is the one to refuse it.
  const payload = args.payload as Row;
  const options = stateOptions(row(args.options) ?? {});
  if (route === 'native to portable') {
    const { document, lossy } = toPortable(payload, options);
    return { payload: document, lossy, checked: false };
  }
  if (route !== 'portable to native') {
    throw new Failure('protocol', 'bad-request', `there is no conversion from ${route}`);
  }
  if (!isRow(args.graph)) {
    const { document, lossy } = toNative(payload, undefined, options);
    return { payload: document, lossy, checked: false };
  }
  const root = await agentsOf(args.graph, payload);
  const { document, lossy } = toNative(payload, root, options);
  await loadRunState(payload, root, options);
  return { payload: document, lossy, checked: true };
}

async function agentsOf(graph: Row, document: unknown) {
  const [{ readGraph }, { buildAgents }] = await Promise.all([
    import('./graph.js'),
    import('./stubs.js'),
  ]);
  try {
    return buildAgents(readGraph(graph), row(document) ?? {});
  } catch (error) {
    throw new Failure('driver', 'graph', `no agents could be built: ${String(error)}`);
  }
}
