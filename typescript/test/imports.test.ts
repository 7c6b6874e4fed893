/** Importing the package is light, and every name it promises is there. */
import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import * as timestep from '../src/index.js';

const SOURCE = new URL('../src/', import.meta.url);

test('the names of the package', () => {
  expect(Object.keys(timestep).sort()).toEqual([
    'ApprovalError',
    'Approvals',
    'CrossingError',
    'DocumentError',
    'GraphError',
    'InterruptionException',
    'Keyring',
    'LoadError',
    'ModelError',
    'MultiModelProvider',
    'MultiModelProviderMap',
    'OllamaError',
    'OllamaModel',
    'OllamaModelProvider',
    'RunStateStore',
    'Session',
    'SnapshotError',
    'StoreError',
    'TimestepError',
    'consumeResult',
    'runAgent',
  ]);
});

test('no module outside the driver imports the SDK, zod or a client but for types', async () => {
  const names = await readdir(SOURCE, { recursive: true });
  const modules = names.filter((name) => name.endsWith('.ts') && !name.startsWith('driver'));
  expect(modules.length).toBeGreaterThan(10);
  for (const name of modules) {
    const text = await readFile(new URL(name, SOURCE), 'utf8');
    const statements = text.match(/^(?:import|export)[^;]*?from '[^']+'/gms) ?? [];
    const eager = statements.filter(
      (each) =>
        /'(@openai\/|zod|openai|ollama)/.test(each) && !/^(?:import|export) type/.test(each),
    );
    expect(eager, name).toEqual([]);
  }
});

test('importing the built package loads no SDK', async () => {
  const index = JSON.stringify(new URL('../dist/index.js', import.meta.url).href);
  const script = `await import(${index}); process.stdout.write('imported');`;
  const { stdout } = await promisify(execFile)(process.execPath, [
    '--experimental-loader',
    `data:text/javascript,${encodeURIComponent(`
      export async function resolve(specifier, context, next) {
        if (/^(@openai\\/|zod|openai|ollama)/.test(specifier)) throw new Error('loaded ' + specifier);
        return next(specifier, context);
      }`)}`,
    '--input-type=module',
    '--eval',
    script,
  ]);
  expect(stdout).toBe('imported');
});
