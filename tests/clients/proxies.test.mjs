// Behind real proxies, configured as docs/OPERATIONS.md says. Traefik is no Debian package: its snippet is not run.

import assert from 'node:assert/strict'
import { get } from 'node:http'
import { describe, test } from 'node:test'
import { Server } from './lib/server.mjs'
import { Proxy, snippet } from './lib/proxy.mjs'
import { WebSocket, converged, join, leave, synced } from './lib/client.mjs'
import { eventually, sleep } from './lib/wait.mjs'

/** A WebSocket from an address of this machine, with header fields that a browser would not let a page set. */
const from = (localAddress, headers = {}) => class extends WebSocket {
  constructor (url, protocols) { super(url, protocols, { localAddress, headers }) }
}

/** Opens a socket; how it ends, or 'open' if it is let in: then its Step1 is answered. */
function knock (url, localAddress, headers) {
  return new Promise((resolve) => {
    const socket = new WebSocket(url, { localAddress, headers })
    const done = (what) => { resolve(what); socket.terminate() }
    socket.on('open', () => socket.send(new Uint8Array([0, 0, 1, 0])))
    socket.on('message', () => done('open'))
    socket.on('close', (code) => done(code))
    socket.on('unexpected-response', (_, response) => done(response.statusCode))
    socket.on('error', () => {})
  })
}

/** A page as a browser asks for it. */
const page = (url, headers = {}) => new Promise((resolve, reject) => get(url, { headers }, (response) => {
  let body = ''
  response.setEncoding('utf8').on('data', (some) => { body += some }).on('end', () => resolve({ status: response.statusCode, headers: response.headers, body }))
}).on('error', reject))

// Most of their time they sit idle.
describe('proxies', { concurrency: 2 }, () => {
  for (const kind of ['nginx', 'caddy']) test(`[O59] behind ${kind}, as in docs/OPERATIONS.md: people converge, stay while idle, and are who they are`, async (t) => {
    const server = await Server.start(t, { args: ['--trusted-proxies', '127.0.0.1', '--base-path', '/ruang', '--sockets-per-address', '3'] })
    const proxy = await Proxy.start(t, kind, server)

    // The base path, names with slashes, and the address that the page tells.
    const clients = [
      join(t, proxy, 'team%2Fretro', { WebSocketPolyfill: from('127.0.0.2') }),
      join(t, proxy, 'team/retro', { WebSocketPolyfill: from('127.0.0.3') })
    ]
    await synced(...clients)
    clients.forEach(({ doc, awareness }, n) => {
      doc.getArray('array').push([n])
      awareness.setLocalState({ n })
    })
    await converged(clients)
    assert.equal(clients[0].doc.getArray('array').length, 2)
    await eventually('they see each other', () => clients.every(({ awareness }) => awareness.getStates().size === 2))
    const home = await page(`${proxy.http}/`)
    assert.ok(home.body.includes(`'${proxy.ws}'`), home.body)
    const bare = await page(proxy.http)
    assert.deepEqual([bare.status, bare.headers.location.replace(/^http:\/\/[^/]*/, '')], [bare.status, '/ruang/'])
    assert.ok(bare.status >= 301 && bare.status <= 308)

    // Addresses: three connections of one, and whatever it says of itself.
    const more = [0, 1].map((n) => join(t, proxy, `more-${n}`, { WebSocketPolyfill: from('127.0.0.2') }))
    await synced(...more)
    assert.equal(await knock(`${proxy.ws}/x`, '127.0.0.2'), 1013)
    const spoofed = { 'X-Forwarded-For': '198.51.100.1', 'X-Real-IP': '198.51.100.1', Forwarded: 'for=198.51.100.1' }
    assert.equal(await knock(`${proxy.ws}/x`, '127.0.0.2', spoofed), 1013)
    assert.equal(await knock(`${proxy.ws}/x`, '127.0.0.3'), 'open')
    more.forEach(leave)

    // Pages: what the client writes itself does not count.
    assert.equal(await knock(`${proxy.ws}/x`, '127.0.0.4', { Origin: 'https://evil.example' }), 403)
    const pretending = { Origin: 'https://evil.example', 'X-Forwarded-Host': 'evil.example', 'X-Forwarded-Proto': 'https' }
    assert.equal(await knock(`${proxy.ws}/x`, '127.0.0.4', pretending), 403)
    assert.equal(await knock(`${proxy.ws}/x`, '127.0.0.4', { Origin: `http://127.0.0.1:${proxy.port}` }), 'open')
    const told = (await page(`${proxy.http}/`, { 'X-Forwarded-Host': 'evil.example', 'X-Forwarded-Prefix': '/evil' })).body
    assert.ok(told.includes(`'${proxy.ws}'`), told)

    // The proxy of the test gives up what is silent for 22 s (if it does at all); the server is not, for longer than 20 s.
    await sleep(46_000)
    clients[0].doc.getArray('array').push(['after a rest'])
    await converged(clients)
    assert.deepEqual(clients.map(({ connects }) => connects), [1, 1])
  })
})

test('[O59] the snippet for Traefik has what the others have', async () => {
  const text = await snippet('yaml')
  for (const part of ['PathPrefix(`/ruang`)', 'X-Forwarded-Prefix: /ruang', 'http://127.0.0.1:8080']) assert.ok(text.includes(part), part)
})
