/**
 * Who writes a document: this port, and the SDK it stands on.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { PortableRunState } from './document.js';

const PORT = '@timestep-ai/timestep';
const SDK = '@openai/agents';

let versions: { port: string; sdk: string } | undefined;

/** The version in the package.json at or above a file. */
function versionAbove(file: string, name: string): string {
  for (let folder = dirname(file); folder !== dirname(folder); folder = dirname(folder)) {
    try {
      const found = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
      if (found.name === name && typeof found.version === 'string') {
        return found.version;
      }
    } catch {
      // No package.json here; look further up.
    }
  }
  return 'unknown';
}

function installed(): { port: string; sdk: string } {
  const require = createRequire(import.meta.url);
  let sdk = 'unknown';
  try {
    sdk = versionAbove(require.resolve(SDK), SDK);
  } catch {
    // The SDK is not installed; converting needs none.
  }
  return { port: versionAbove(fileURLToPath(import.meta.url), PORT), sdk };
}

/** The writer of a document converted here from a snapshot of the given schema. */
export function writer(schema: string): PortableRunState['writer'] {
  versions ??= installed();
  return {
    port: PORT,
    port_version: versions.port,
    sdk: SDK,
    sdk_version: versions.sdk,
    sdk_schema: schema,
    language: 'typescript',
  };
}
