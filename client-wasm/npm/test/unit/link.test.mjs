// The socket: real ones, to a server that says what the test wants.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WebSocket, WebSocketServer } from 'ws'
import { Backoff } from '../../dist/backoff.js'
import { Link } from '../../dist/link.js'
import { eventually, never } from '../../../../tests/clients/lib/wait.mjs'

/** A server whose sockets do what `take` says, and a link to it that notes what happens. */
async function linked (t, take, { token = async () => undefined } = {}) {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', handleProtocols: () => 'ruang.v1' })
  await new Promise((resolve) => server.once('listening', resolve))
  const sockets = []
  server.on('connection', (socket, request) => {
    sockets.push({ socket, protocols: request.headers['sec-websocket-protocol'] })
    take(socket, sockets.length)
  })
  const seen = { states: [], received: [], closed: [], opened: 0, failed: 0 }
  const link = new Link({
    address: () => `ws://127.0.0.1:${server.address().port}/ws/room`,
    token,
    tokenFailed: () => { seen.failed += 1 },
    opened: () => { seen.opened += 1 },
    received: (frame) => { seen.received.push(...frame) },
    closed: (reason) => { seen.closed.push(reason.code) },
    changed: (state, reason) => { seen.states.push(reason ? `${state} ${reason.code}` : state) }
  }, WebSocket, new Backoff(() => 0))
  t.after(() => {
    link.stop()
    for (const { socket } of sockets) socket.terminate()
    server.close()
  })
  return { link, seen, sockets }
}

for (const code of [4400, 4409, 4413]) {
  test(`[C25] ${code} is final: nothing is tried until it is asked for`, async (t) => {
    const { link, seen, sockets } = await linked(t, (socket) => socket.close(code, 'so it is'))
    link.start()
    await eventually('it is refused', () => seen.states.at(-1) === `refused ${code}`)
    link.wake()
    await never('another socket', () => sockets.length > 1, 700)
    link.start()
    await eventually('another', () => sockets.length === 2)
  })
}

for (const code of [1000, 1001, 1006, 1011, 1012, 1013, 4000, 4500]) {
  test(`[C25] after ${code} it comes back`, async (t) => {
    const { link, seen, sockets } = await linked(t, (socket, n) => {
      if (n > 2) return
      if (code === 1006) socket.terminate()
      else socket.close(code, '')
    })
    link.start()
    await eventually('the third stays', () => sockets.length === 3 && link.state === 'connected')
    assert.deepEqual(seen.closed, [code === 1000 ? 1000 : code, code])
    assert.equal(seen.opened, 3)
  })
}

test('[C25] 4529: not before five seconds have gone', async (t) => {
  const { link, seen, sockets } = await linked(t, (socket, n) => { if (n === 1) socket.close(4529, 'too fast') })
  link.start()
  await eventually('it is closed', () => seen.states.at(-1) === 'offline 4529')
  await never('another socket', () => sockets.length > 1, 4_500)
  await eventually('then it comes back', () => sockets.length === 2)
})

test('[C25] 4501: another token is asked for, at once, and it goes on with that', async (t) => {
  const asked = []
  const { link, seen, sockets } = await linked(t, (socket, n) => { if (n === 1) socket.close(4501, 'expired') }, {
    token: async (refused) => { asked.push(refused); return `a.b${asked.length}.c` }
  })
  link.start()
  await eventually('it is back', () => sockets.length === 2 && link.state === 'connected')
  assert.deepEqual(asked, [undefined, 'a.b1.c'])
  assert.deepEqual(sockets.map(({ protocols }) => protocols), ['ruang.v1,bearer.a.b1.c', 'ruang.v1,bearer.a.b2.c'])
  assert.ok(!seen.states.some((state) => state.startsWith('offline')), 'nobody is told that it is offline')
})

for (const code of [4401, 4403]) {
  test(`[C25] ${code}: another token is tried once; without another one it is refused`, async (t) => {
    let made = 0
    const { link, seen, sockets } = await linked(t, (socket) => socket.close(code, 'no'), { token: async () => `a.${++made}.c` })
    link.start()
    await eventually('refused', () => seen.states.at(-1) === `refused ${code}`)
    assert.equal(sockets.length, 2)
    const same = await linked(t, (socket) => socket.close(code, 'no'), { token: async () => 'a.b.c' })
    same.link.start()
    await eventually('refused', () => same.seen.states.at(-1).startsWith('refused'))
    assert.equal(same.sockets.length, 1)
    same.link.start()
    await eventually('but when the app says so', () => same.sockets.length === 2)
  })
}

test('[C25] a token that cannot be fetched is asked for again', async (t) => {
  let asked = 0
  const { link, seen } = await linked(t, () => {}, {
    token: async () => { if (++asked < 3) throw new Error('no back end'); return 'a.b.c' }
  })
  link.start()
  await eventually('it has one', () => link.state === 'connected')
  assert.equal(seen.failed, 2)
})

test('[C24] the network is back: it does not go on waiting', async (t) => {
  const { link, seen, sockets } = await linked(t, (socket, n) => { if (n === 1) socket.close(4529, 'a long wait') })
  link.start()
  await eventually('it waits', () => seen.states.at(-1) === 'offline 4529')
  const from = performance.now()
  link.wake()
  await eventually('it is back', () => sockets.length === 2)
  console.log(`back after ${Math.round(performance.now() - from)} ms`)
  assert.ok(performance.now() - from < 4_000)
})

test('[C24] after a wake a socket on which nobody answers is given up, and one that answers is kept', async (t) => {
  const answers = { now: false }
  const { link, seen, sockets } = await linked(t, (socket) => {
    socket.on('message', () => { if (answers.now) socket.send(Uint8Array.of(1, 1, 0)) })
  })
  link.start()
  await eventually('connected', () => link.state === 'connected')
  link.wake()
  await eventually('another socket', () => sockets.length === 2 && link.state === 'connected')
  assert.deepEqual(seen.closed, [1006])
  answers.now = true
  link.wake()
  link.doubt()
  await eventually('an answer', () => seen.received.length > 0)
  await never('another one', () => sockets.length > 2, 5_000)
})

test('[C24] what an old socket still says is not heard, and stop ends all', async (t) => {
  const { link, seen, sockets } = await linked(t, (socket, n) => {
    setTimeout(() => { if (socket.readyState === 1) socket.send(Uint8Array.of(n)) }, 300)
  })
  link.start()
  await eventually('connected', () => link.state === 'connected')
  link.restart()
  await eventually('connected again', () => sockets.length === 2 && link.state === 'connected')
  await eventually('heard', () => seen.received.length > 0)
  await never('the old one is heard', () => seen.received.length > 1, 400)
  assert.deepEqual(seen.received, [2])
  link.stop()
  await never('another', () => sockets.length > 2, 500)
  assert.equal(link.state, 'idle')
})

test('[C25] a token that no subprotocol can carry is refused, not thrown', async (t) => {
  const { link, seen, sockets } = await linked(t, () => {}, { token: async () => 'not a token, "at all"' })
  link.start()
  await eventually('refused', () => seen.states.at(-1) === 'refused 4401')
  assert.equal(sockets.length, 0)
})
