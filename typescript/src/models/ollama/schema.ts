/** Whether an answer is what its output schema asks for. */
import type { ValidateFunction } from 'ajv/dist/2020.js';
import type { Obj } from '../../state/json.js';

const validators = new WeakMap<Obj, ValidateFunction>();

/** Whether `text` is JSON that fits `schema` (JSON Schema 2020-12). */
export async function fits(text: string, schema: Obj): Promise<boolean> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return false;
  }
  let validate = validators.get(schema);
  if (validate === undefined) {
    const { Ajv2020 } = await import('ajv/dist/2020.js');
    const { $schema: _dialect, ...rest } = schema;
    validate = new Ajv2020({ strict: false, validateFormats: false }).compile(rest);
    validators.set(schema, validate);
  }
  return validate(value);
}
