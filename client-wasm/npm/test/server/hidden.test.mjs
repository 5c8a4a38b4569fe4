// Hidden cards: each person's are in a room of its own until the facilitator reveals them.

import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { Server } from '../../../../tests/clients/lib/server.mjs'
import { SECRET, sign } from '../../../../tests/clients/lib/tokens.mjs'
import { eventually } from '../../../../tests/clients/lib/wait.mjs'
import { client, saved, synced } from '../lib/node.mjs'

test('[C44] a second client writes hidden cards into the own draft, nobody else may open it, and the reveal brings them to all', async (t) => {
  const key = join(tmpdir(), `ruang-npm-hidden-${process.pid}`)
  await writeFile(key, SECRET)
  const server = await Server.start(t, { args: ['--auth-key-file', key, '--boards', '*'] })
  const lead = await synced(t, server, { token: sign({ sub: 'lead', role: 'facilitator' }) })
  lead.edit.seed('retro')
  lead.edit.setMeta({ hideCards: true })
  await saved(lead)
  const token = sign({ sub: 'ana' })
  const ana = await synced(t, server, { token })
  const draft = await synced(t, server, { token, room: 'board~ana' })
  const card = draft.edit.addItem({ text: 'hidden for now', column: 'well' })
  await saved(draft)
  const ben = await client(t, server, { token: sign({ sub: 'ben' }), room: 'board~ana' })
  await eventually('ben is refused', () => ben.status === 'refused')
  assert.equal(ben.get('items', card), undefined)
  assert.deepEqual(lead.get('itemIds'), [])
  lead.edit.setMeta({ hideCards: false })
  await saved(lead)
  await eventually('all have it', () => [lead, ana].every((one) => one.get('items', card)?.text === 'hidden for now'))
  assert.equal(lead.get('items', card).author, 'ana')
  await eventually('the draft is empty', () => draft.get('itemIds').length === 0)
})
