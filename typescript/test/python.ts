/** The other language, as a process: `tests/conversation.py`. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** A Python process that has conversations. */
export interface Python extends AsyncDisposable {
  /** Makes a conversation; its commands reject with the code of an error of Timestep. */
  open(given: object): Promise<(name: string, args?: object) => Promise<unknown>>;
}

/** Starts the process. */
export function python(): Python {
  const child = spawn(
    process.env.TIMESTEP_PYTHON ?? `${ROOT}.venv/bin/python`,
    ['-W', 'error', '-m', 'tests.conversation'],
    { cwd: ROOT, stdio: ['pipe', 'pipe', 'inherit'] },
  );
  const exit = once(child, 'exit');
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const ask = async (number: number | null, name: string, args: object = {}) => {
    child.stdin.write(`${JSON.stringify([number, name, args])}\n`);
    const { value, done } = await lines.next();
    if (done) {
      throw new Error('the Python process has ended');
    }
    const answer = JSON.parse(value) as { ok?: unknown; error?: string };
    if (answer.error !== undefined) {
      throw Object.assign(new Error(answer.error), { code: answer.error });
    }
    return answer.ok;
  };
  return {
    async open(given) {
      const number = (await ask(null, 'open', given)) as number;
      return (name, args) => ask(number, name, args);
    },
    async [Symbol.asyncDispose]() {
      child.stdin.end();
      await exit;
    },
  };
}
