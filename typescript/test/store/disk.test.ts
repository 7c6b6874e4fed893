/** Files and folders as stores make them. */
import { mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { createFolders, realPath, syncFolder, temporaryName, write } from '../../src/store/disk.js';
import { temporary } from './places.js';

test('a file is written for its owner alone, and never over another one', async () => {
  const path = join(await temporary(), 'one');
  const mask = process.umask(0);
  try {
    await write(path, 'text');
  } finally {
    process.umask(mask);
  }
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  await expect(write(path, 'other')).rejects.toMatchObject({ code: 'EEXIST' });
  expect(await readFile(path, 'utf8')).toBe('text');
});

test('nothing is left behind after a failed write', async () => {
  const folder = await temporary();
  // A value the file system cannot write fails after the file was made.
  const value = { not: 'text' } as unknown as string;
  await expect(write(join(folder, 'one'), value)).rejects.toThrow();
  expect(await readdir(folder)).toEqual([]);
});

test('temporary names are hidden, and differ', () => {
  const names = [temporaryName('/a/one.json'), temporaryName('/a/one.json')];
  expect(names[0]).toMatch(/^\.one\.json\..+\.tmp$/);
  expect(names[0]).not.toBe(names[1]);
});

test('folders that have a new entry are named, to be synced', async () => {
  const folder = await temporary();
  const [a, b] = [join(folder, 'a'), join(folder, 'a', 'b')];
  expect(await createFolders(b, 0o700)).toEqual([b, a, folder]);
  expect((await stat(a)).mode & 0o777).toBe(0o700);
  expect(await createFolders(b)).toEqual([b]);
  await syncFolder(b);
});

test('the file behind links is found, there or not', async () => {
  const folder = await temporary();
  await mkdir(join(folder, 'data'));
  await symlink(join('data', 'one'), join(folder, 'link'));
  await symlink('link', join(folder, 'again'));
  const target = await realPath(join(folder, 'again'));
  expect(target).toBe(await realPath(join(folder, 'data', 'one')));
  await writeFile(target, '');
  expect(await realPath(join(folder, 'again'))).toBe(target);
});
