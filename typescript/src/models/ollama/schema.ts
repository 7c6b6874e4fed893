/** Whether an answer is what its output schema asks for. */
import type { Obj } from '../../state/json.js';

type Check = (value: unknown) => boolean;

const checks = new WeakMap<Obj, Check>();

/**
 * Whether `text` is JSON that fits `schema` (JSON Schema 2020-12). A schema that cannot be read so
 * is left to the SDK, which checks the final output in any case.
 */
export async function fits(text: string, schema: Obj): Promise<boolean> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return false;
  }
  let check = checks.get(schema);
  if (check === undefined) {
    check = await checkOf(schema);
    checks.set(schema, check);
  }
  return check(value);
}

async function checkOf(schema: Obj): Promise<Check> {
  const { Ajv2020 } = await import('ajv/dist/2020.js');
  const { $schema: _dialect, ...rest } = schema;
  try {
    return new Ajv2020({ strict: false, validateFormats: false, logger: false }).compile(rest);
  } catch {
    return () => true;
  }
}
