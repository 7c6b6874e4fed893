/**
 * Recorded model traffic in tests: a `fetch` that plays and records the cassettes that vcrpy does.
 *
 *     const cassette = await openCassette('cassettes/weather.yaml');
 *     const client = new OpenAI({ apiKey: 'none', fetch: cassette.fetch });
 *
 * Needs the package `yaml`. The same files are played by `timestep.testing` of the Python port.
 */
export { Cassette, type CassetteOptions, openCassette } from './cassette.js';
export type { Interaction } from './file.js';
export {
  type Asked,
  difference,
  keptHeaders,
  normalise,
  pathOf,
  pieces,
  REQUEST_HEADERS,
  RESPONSE_HEADERS,
  type Recorded,
} from './matching.js';
