// Loading the core: what fails is said, and the next client tries again.

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { RuangClient } from '../../dist/index.js'
import { eventually } from '../../../../tests/clients/lib/wait.mjs'

test('[C42] a core that cannot be loaded is said, and another client loads it', async (t) => {
  const make = (wasm) => {
    const made = new RuangClient({ url: 'http://127.0.0.1:9', room: 'board', storage: 'memory', connect: false, wasm })
    t.after(() => made.close())
    return made
  }
  const failed = make('http://127.0.0.1:9/no-such.wasm')
  await assert.rejects(failed.ready, { name: 'RuangError', code: 'no-core' })
  assert.throws(() => failed.edit.addItem({ text: 'x' }), { code: 'not-ready' })
  await assert.rejects(make(new Uint8Array([1, 2, 3])).ready, { code: 'no-core' })
  const good = make(readFile(new URL('../../dist/ruang_client_bg.wasm', import.meta.url)))
  await good.ready
  const id = good.edit.addItem({ text: 'x' })
  assert.equal(good.get('items', id).text, 'x')
  assert.equal(good.unsaved, 1)
  // Without a WebSocket it is a board all the same, and says why it goes no further.
  good.connect()
  await eventually('it is refused', () => good.status === 'refused')
  assert.match(good.connection.reason.text, /no WebSocket/)
})
