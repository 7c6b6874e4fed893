// Asks both clients for whole and streamed answers through a cassette, for the tests of both ports:
// node test/testing/exchange.mjs CASSETTE RECORD OPENAI_URL OLLAMA_URL [SPLIT]. Prints the answers.
import { Ollama } from 'ollama';
import OpenAI from 'openai';
import { openCassette } from '../../dist/testing/index.js';

const [path, record, baseURL, host, split] = process.argv.slice(2);
const cassette = await openCassette(path, { record, ...(split && { split: Number(split) }) });
const openai = new OpenAI({ apiKey: 'sk-secret', baseURL, fetch: cassette.fetch });
const ollama = new Ollama({ host, fetch: cassette.fetch });
const asked = { model: 'gpt-x', input: 'Weather in Oslo?' };
const chat = { model: 'llama3', messages: [{ role: 'user', content: 'Weather in Oslo?' }] };

const answers = [(await openai.responses.create(asked)).output_text];
let text = '';
for await (const event of await openai.responses.create({ ...asked, stream: true })) {
  if (event.type === 'response.output_text.delta') text += event.delta;
}
answers.push(text);
answers.push((await ollama.chat(chat)).message.content);
text = '';
for await (const chunk of await ollama.chat({ ...chat, stream: true })) {
  text += chunk.message.content;
}
answers.push(text);
await cassette.save();
process.stdout.write(JSON.stringify({ answers, unused: cassette.unused }));
