// Does to a database what it is told, one line of JSON after the other.
import { createInterface } from 'node:readline';
import { openPostgres } from '../../typescript/dist/store/postgres.js';

async function work(task) {
  const backend = await openPostgres(task.url);
  try {
    if (task.do === 'append') {
      for (const item of task.items) await backend.addItems('chat', [item, `${item}'`]);
    } else if (task.do === 'pop') {
      const popped = [];
      for (let left = task.count; left > 0; left -= 1) popped.push(await backend.popItem('chat'));
      return popped;
    } else if (task.do === 'claim') {
      return (await backend.claim('run', task.owner, 60_000)).owner;
    }
    return 'done';
  } catch (error) {
    return error.code;
  } finally {
    await backend.close();
  }
}

for await (const line of createInterface(process.stdin)) {
  console.log(JSON.stringify(await work(JSON.parse(line))));
}
