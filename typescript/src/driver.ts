/**
 * The driver of the TypeScript port: JSON lines over stdin and stdout for the conformance harness.
 * See docs/driver-protocol.md.
 */

// stdout belongs to the protocol: whatever else writes to it goes to stderr, before any other
// module is loaded.
const write = process.stdout.write.bind(process.stdout);
process.stdout.write = process.stderr.write.bind(process.stderr) as typeof process.stdout.write;
console.log = console.error;
console.info = console.error;
console.debug = console.error;

const [{ serve }, { Operations }] = await Promise.all([
  import('./driver/loop.js'),
  import('./driver/operations.js'),
]);

const operations = new Operations();
await serve(operations, process.stdin, (line) => write(line));
await operations.close();
// Whatever still holds the process, such as an open connection, does not keep it.
write('', () => process.exit(0));

export {};
