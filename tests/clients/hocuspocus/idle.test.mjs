// Nothing happens for 70 s: providers close a socket on which no message came for 30 s.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Server } from '../lib/server.mjs'
import { converged } from '../lib/client.mjs'
import { connect, each, join, saved, synced } from '../lib/hocuspocus.mjs'
import { sleep } from '../lib/wait.mjs'

const IDLE_MS = Number(process.env.RUANG_TEST_IDLE_MS ?? 70_000)

test(`[S7] idle for ${IDLE_MS / 1000} s, with presence and without: versions 2, 3 and 4 keep their connection`, async (t) => {
  const server = await Server.start(t)
  const clients = each.flatMap(({ version }) => {
    const silent = join(t, server, `silent-${version}`, version, { awareness: null })
    const socket = connect(t, server, version)
    const several = ['a', 'b'].map((room) => join(t, server, `${room}-${version}`, version, { socket }))
    return [silent, ...several]
  })
  await synced(...clients)
  await sleep(IDLE_MS)
  for (const { room, socket } of clients) {
    assert.deepEqual([socket.opened, socket.closes], [1, []], `${room}: opened once, never closed`)
  }
  for (const client of clients) {
    client.doc.getMap('map').set('after', 'idle')
    await saved(client)
    const late = join(t, server, client.room, client.version)
    await synced(late)
    await converged([client, late])
  }
})
