import { defineConfig } from 'vitest/config';

// Generous: a machine may be busy, and whatever waits for ever is told all the same.
const PATIENCE = 60_000;

export default defineConfig({
  test: { globalSetup: './test/services.ts', testTimeout: PATIENCE, hookTimeout: PATIENCE },
});
