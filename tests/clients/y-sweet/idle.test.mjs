// Nothing happens for 70 s. y-sweet's provider closes a connection that has not answered for 3 s.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Server } from '../lib/server.mjs'
import { connected, joinSweet } from '../lib/y-sweet.mjs'
import { sleep } from '../lib/wait.mjs'
import '../lib/quiet.mjs'

const IDLE_MS = Number(process.env.RUANG_TEST_IDLE_MS ?? 70_000)

test(`[W43] idle for ${IDLE_MS / 1000} s, alone, silent and together: no provider loses its connection`, async (t) => {
  const server = await Server.start(t)
  const clients = ['alone', 'silent', 'two', 'two'].map((room) => joinSweet(t, server, room))
  await connected(...clients)
  clients[1].awareness.setLocalState(null)
  await sleep(IDLE_MS)
  for (const { network, closes, provider, room } of clients) {
    assert.deepEqual([network.opened, closes, provider.status, provider.hasLocalChanges], [1, [], 'connected', false], room)
  }
})
