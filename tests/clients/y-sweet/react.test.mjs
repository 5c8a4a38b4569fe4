// @y-sweet/react in a page (jsdom): hooks see the document, presence, the connection and unsaved changes.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import 'fake-indexeddb/auto'
import { JSDOM } from 'jsdom'
import { WebSocket } from 'ws'
import { Redis } from '../lib/redis.mjs'
import { Server } from '../lib/server.mjs'
import { join, synced } from '../lib/client.mjs'
import { manager } from '../lib/y-sweet.mjs'
import { eventually, never } from '../lib/wait.mjs'
import '../lib/quiet.mjs'

// Before React is loaded: it looks for a page once.
const page = new JSDOM('<!doctype html><body></body>', { url: 'https://app.test/' })
const define = (name, value) => Object.defineProperty(globalThis, name, { value, configurable: true, writable: true })
for (const name of ['window', 'document', 'navigator']) define(name, name === 'window' ? page.window : page.window[name])
// A browser's socket that fails tells whoever listens, and nobody else.
define('WebSocket', class extends WebSocket {
  constructor (url) {
    super(url)
    this.on('error', () => {})
  }
})
define('IS_REACT_ACT_ENVIRONMENT', false)

const React = await import('react')
const { createRoot } = await import('react-dom/client')
const {
  YDocProvider, useArray, useAwareness, useConnectionStatus, useHasLocalChanges, useMap, usePresence, usePresenceSetter, useText,
  useYDoc, useYjsProvider
} = await import('@y-sweet/react')
const h = React.createElement

/** What one page shows, and the hooks' own objects, to play the user with. */
function mount (t, server, docId, props = {}) {
  const shown = {}
  const Board = () => {
    Object.assign(shown, {
      doc: useYDoc(), provider: useYjsProvider(), awareness: useAwareness(), map: useMap('map'), cards: useArray('array'),
      text: useText('text'), status: useConnectionStatus(), changes: useHasLocalChanges(), others: usePresence(),
      present: usePresenceSetter()
    })
    return h('ul', null, shown.cards.toArray().map((card, n) => h('li', { key: n }, card)))
  }
  const place = document.body.appendChild(document.createElement('div'))
  const root = createRoot(place)
  const authEndpoint = () => manager(server).getOrCreateDocAndToken(docId)
  root.render(h(YDocProvider, { docId, authEndpoint, showDebuggerLink: false, offlineSupport: false, ...props }, h(Board)))
  shown.items = () => [...place.querySelectorAll('li')].map((item) => item.textContent)
  t.after(() => {
    const { provider } = shown
    if (provider) { // its own destroy() comes back by itself
      provider.ensureClientToken = () => new Promise(() => {})
      provider.bindWebsocket = () => {}
      const { websocket } = provider
      if (websocket) websocket.onopen = websocket.onmessage = websocket.onclose = websocket.onerror = null
    }
    root.unmount()
    place.remove()
  })
  return shown
}

test('[W43] two pages and a y-websocket client show the same cards, and who else is there', async (t) => {
  const server = await Server.start(t)
  const [ann, bob] = [mount(t, server, 'board'), mount(t, server, 'board')]
  await eventually('both pages are connected', () => [ann, bob].every(({ status }) => status === 'connected'))
  const yws = join(t, server, 'board')
  await synced(yws)
  ann.cards.push(['from ann'])
  yws.doc.getArray('array').push(['from y-websocket'])
  const all = ['from ann', 'from y-websocket']
  await eventually('both pages show both cards', () => [ann, bob].every(({ items }) =>
    JSON.stringify(items().sort()) === JSON.stringify(all)))
  await eventually('nothing is unsaved', () => !ann.changes && !bob.changes)
  ann.present({ name: 'Ann' })
  yws.awareness.setLocalState({ name: 'Yws' })
  await eventually('bob sees both', () =>
    JSON.stringify([...bob.others.values()].map(({ name }) => name).sort()) === '["Ann","Yws"]')
})

test('[W44] the page says "unsaved" while the store is frozen, and "saved" after', async (t) => {
  const redis = await Redis.start(t)
  t.after(() => redis.process.kill('SIGCONT'))
  const server = await Server.start(t, { store: redis.store })
  const ann = mount(t, server, 'board')
  await eventually('the page is connected and saved', () => ann.status === 'connected' && ann.changes === false)
  redis.process.kill('SIGSTOP')
  ann.cards.push(['held'])
  await eventually('the page says so', () => ann.changes)
  await never('the page says "saved"', () => !ann.changes, 6_000)
  redis.process.kill('SIGCONT')
  await eventually('the page says "saved"', () => !ann.changes)
  assert.equal(ann.status, 'connected')
})

test('[W43] a page with offline support keeps its copy and brings it back', async (t) => {
  const server = await Server.start(t)
  const [ann, watcher] = [mount(t, server, 'offline', { offlineSupport: true }), join(t, server, 'offline')]
  await eventually('the page is connected', () => ann.status === 'connected')
  await synced(watcher)
  ann.cards.push(['written online'])
  await eventually('it is seen', () => watcher.doc.getArray('array').length === 1)
  await server.kill()
  ann.cards.push(['written offline'])
  await eventually('the page notices', () => ann.status !== 'connected')
  await server.startAgain()
  await eventually('it is seen', () => watcher.doc.getArray('array').length === 2, { within: 30_000 })
  await eventually('nothing is unsaved', () => !ann.changes)
  // The same device, a new page: its copy comes from IndexedDB and doubles nothing.
  const again = mount(t, server, 'offline', { offlineSupport: true })
  await eventually('it shows both, once', () => again.status === 'connected' && again.items().length === 2)
  await eventually('nothing is unsaved', () => !again.changes)
  assert.equal(watcher.doc.getArray('array').length, 2)
})
