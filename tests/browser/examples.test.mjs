// What stands in docs/examples, as its readers find it.

import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { test } from 'node:test'

const LINES_MAX = 30
/** A line that is longer is two. */
const SIGNS_MAX = 130
const folder = new URL('../../docs/examples/', import.meta.url)
const MAIN = { board: 'board/board.js', tiptap: 'tiptap/main.js', codemirror: 'codemirror/main.js' }

test('[B81] of each example the part to learn has 30 lines at most, which are no longer than lines are', async (t) => {
  const examples = (await readdir(folder, { withFileTypes: true })).filter((each) => each.isDirectory()).map(({ name }) => name)
  assert.deepEqual(examples.sort(), Object.keys(MAIN).sort(), 'each example has a main file')
  const readme = await readFile(new URL('README.md', folder), 'utf8')
  for (const [name, path] of Object.entries(MAIN)) {
    const lines = (await readFile(new URL(path, folder), 'utf8')).trimEnd().split('\n')
    t.diagnostic(`${path}: ${lines.length} lines`)
    assert.ok(lines.length <= LINES_MAX, `${path} has ${lines.length} lines`)
    assert.deepEqual(lines.filter((line) => line.length > SIGNS_MAX), [], path)
    const row = readme.split('\n').find((line) => line.startsWith(`| [\`${name}\`](${name})`))
    assert.match(row ?? '', new RegExp(`\`${path.split('/')[1]}\`.*${LINES_MAX} lines`), 'README.md says so')
  }
})
