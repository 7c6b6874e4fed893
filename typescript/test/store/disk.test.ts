/** Files that are replaced whole. */
import { readdir, readFile, readlink, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import * as file from '../../src/store/disk.js';
import { temporary } from './places.js';

test('a file is never seen half written', async () => {
  const folder = await temporary();
  const path = join(folder, 'one.json');
  const contents = ['a', 'b', 'c', 'd'].map((letter) => letter.repeat(300_000));
  await file.replace(path, contents[0] ?? '');
  let writing = true;
  const writers = Promise.all(
    contents.map(async (content) => {
      for (let round = 0; round < 10; round += 1) {
        await file.replace(path, content);
      }
    }),
  ).finally(() => {
    writing = false;
  });
  while (writing) {
    expect(contents).toContain(Buffer.from(await file.read(path)).toString());
  }
  await writers;
  expect(await readdir(folder)).toEqual(['one.json']);
});

test('a file is unchanged and alone after a failed write', async () => {
  const folder = await temporary();
  const path = join(folder, 'one.json');
  await file.replace(path, 'old');
  // A value the file system cannot write fails after the temporary file was made.
  await expect(file.replace(path, { not: 'text' } as unknown as string)).rejects.toThrow();
  expect(await readFile(path, 'utf8')).toBe('old');
  expect(await readdir(folder)).toEqual(['one.json']);
});

test('a file may be reached through a link, which stays a link', async () => {
  const folder = await temporary();
  const target = join(folder, 'one.json');
  const link = join(folder, 'link.json');
  await writeFile(target, 'old');
  await symlink(target, link);
  await file.replace(link, 'new');
  expect(await readlink(link)).toBe(target);
  expect(await readFile(target, 'utf8')).toBe('new');
  await file.remove(link);
  expect(await readdir(folder)).toEqual(['link.json']);
});
