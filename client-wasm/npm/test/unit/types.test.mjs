// The types of TypeScript are those of the Rust that writes and reads the values.

import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { folder, generated } from '../../scripts/types.mjs'

test('[C43] the types that are committed are those that src/board says', async () => {
  const files = await generated()
  assert.deepEqual((await readdir(folder)).sort(), Object.keys(files).sort())
  for (const [name, text] of Object.entries(files)) {
    assert.equal(await readFile(join(folder, name), 'utf8'), text, `${name}: run node scripts/types.mjs`)
  }
})
