/** The table of operations, and what outlives a single one: the open case. */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import type { Case } from './case.js';
import { convert } from './convert.js';
import type { Row } from './json.js';
import type { Handlers } from './loop.js';
import { Failure, PROTOCOL } from './protocol.js';

/** What the port and its SDK can do; `run.recover` is not among it. */
export const CAPABILITIES = [
  'approvals',
  'approvals.inbox',
  'encryption',
  'fault.arm',
  'handoffs',
  'mcp.hosted',
  'mcp.local',
  'models',
  'nested-agents',
  'programmatic-tools',
  'run',
  'run.input',
  'session',
  'state.convert',
  'state.file',
  'state.native',
  'state.portable',
  'store.claims',
  'store.file',
  'store.folder',
  'store.pglite',
  'store.postgresql',
  'stream',
  'tool-search',
  'tool.apply_patch',
  'tool.computer',
  'tool.computer-approval',
  'tool.shell',
  'tracing',
  'until.turn',
] as const;

const require = createRequire(import.meta.url);

async function versionIn(folder: URL): Promise<string> {
  const manifest = JSON.parse(await readFile(new URL('package.json', folder), 'utf8'));
  return String(manifest.version);
}

/** Who answers: port, SDK, versions and capabilities. */
export async function hello(): Promise<Row> {
  const { Agent, RunContext, RunState } = await import('@openai/agents');
  // The SDK does not export its manifest: it stands above the entry point.
  const sdk = new URL('../', pathToFileURL(require.resolve('@openai/agents')));
  const probe = new RunState(new RunContext(), '', new Agent({ name: 'probe' }), 1);
  return {
    protocol: PROTOCOL,
    port: {
      name: '@timestep-ai/timestep',
      language: 'typescript',
      version: await versionIn(new URL('../../', import.meta.url)),
    },
    sdk: {
      name: '@openai/agents',
      version: await versionIn(sdk),
      schema: probe.toJSON().$schemaVersion,
    },
    runtime: `Node ${process.versions.node}`,
    state: { reads: ['1'], writes: '1' },
    capabilities: [...CAPABILITIES],
  };
}

/** Handlers by operation name; at most one case is open at a time. */
export class Operations implements Handlers {
  #case: Case | undefined;

  async handle(op: string, args: Row, signal: AbortSignal): Promise<Row> {
    switch (op) {
      case 'hello':
        if (args.protocol !== PROTOCOL) {
          throw new Failure(
            'protocol',
            'unknown-protocol',
            `this driver speaks protocol ${PROTOCOL}`,
          );
        }
        return hello();
      case 'case.open':
        await this.close();
        this.#case = await (await import('./case.js')).Case.open(args);
        return {};
      case 'case.close':
        await this.close();
        return {};
      case 'state.convert':
        return convert(args);
      case 'model.call':
        return (await import('./models.js')).call(args, signal);
      case 'model.route':
        return (await import('./models.js')).route(args);
      case 'run.start':
        return (await import('./runs.js')).start(this.#opened(), args, signal);
      case 'run.advance':
        return (await import('./runs.js')).advance(this.#opened(), args, signal);
      case 'run.decide':
        return (await import('./runs.js')).decide(this.#opened(), args);
      case 'run.input':
        return (await import('./runs.js')).addInput(this.#opened(), args);
      case 'state.save':
        return (await import('./saves.js')).save(this.#opened(), args);
      case 'state.load':
        return (await import('./saves.js')).load(this.#opened(), args);
      case 'store.save':
      case 'store.load':
      case 'store.list':
      case 'store.history':
      case 'store.fork':
      case 'store.prune':
      case 'store.clear':
      case 'store.claim':
      case 'store.release':
        return (await import('./stores.js')).stored(this.#opened(), op, args);
      case 'approvals.list':
        return (await import('./stores.js')).listApprovals(this.#opened(), args);
      case 'approvals.decide':
        return (await import('./stores.js')).decide(this.#opened(), args);
      case 'session.read':
      case 'session.add':
      case 'session.pop':
      case 'session.clear':
        return (await import('./sessions.js')).session(this.#opened(), op, args);
      case 'effects.read':
        return this.#opened().readEffects();
      case 'fault.arm':
        return (await import('./faults.js')).arm(args);
      case 'run.recover':
        throw new Failure('unsupported', op, `this port has no ${op}`);
      default:
        throw new Failure('protocol', 'unknown-op', `there is no operation ${op}`);
    }
  }

  #opened(): Case {
    if (this.#case === undefined) {
      throw new Failure('protocol', 'no-case', 'no case is open');
    }
    return this.#case;
  }

  /** Closes the open case, if there is one. */
  async close(): Promise<void> {
    const open = this.#case;
    this.#case = undefined;
    await open?.close();
  }
}
