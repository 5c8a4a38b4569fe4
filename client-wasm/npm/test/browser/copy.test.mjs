// The local copy: IndexedDB in a real browser, with a server that goes away.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sign } from '../../../../tests/clients/lib/tokens.mjs'
import { eventually } from '../../../../tests/clients/lib/wait.mjs'
import { pages, saved, shows, texts, until, write } from '../lib/page.mjs'

test('[C27, C23] edits made without a server survive a reload, and are stored once when it is back', async (t) => {
  const { browser, server, open, reload } = await pages(t)
  const ana = await browser.person('ana')
  const tab = await open(ana)
  await write(tab, 'online')
  await saved(tab)
  await server.kill()
  await until(tab, () => client.status === 'offline')
  const [card] = await write(tab, 'offline 1', 'offline 2')
  await tab.evaluate((card) => client.edit.moveItem(card, { x: 3, y: 4 }), card)
  assert.equal(await tab.evaluate(() => client.unsaved), 3)
  await tab.evaluate(() => client.stored())
  await reload(tab)
  await shows(tab, ['online', 'offline 1', 'offline 2'])
  assert.deepEqual(await tab.evaluate((card) => client.get('itemPositions', card), card), { x: 3, y: 4 })
  await until(tab, () => client.unsaved === 3 && client.connection.storage === 'indexeddb') // the count outlives the page
  await write(tab, 'offline 3')
  assert.equal(await tab.evaluate(() => client.unsaved), 4)
  await tab.evaluate(() => client.stored())
  await server.startAgain()
  await reload(tab)
  await saved(tab)
  const ben = await open(await browser.person('ben'))
  await saved(ben)
  await shows(ben, ['online', 'offline 1', 'offline 2', 'offline 3'])
  await server.kill()
  await reload(tab)
  await shows(tab, ['online', 'offline 1', 'offline 2', 'offline 3'])
  assert.equal(await tab.evaluate(() => client.unsaved), 0, 'what was stored is not counted again')
})

test('[C28] two tabs on one copy without a server: each sees the other\'s edits at once, a reload sees all, the server gets each once', async (t) => {
  const { browser, server, open, reload } = await pages(t)
  const ana = await browser.person('ana')
  const [one, two] = [await open(ana), await open(ana)]
  await write(one, 'both')
  await saved(one, two)
  await server.kill()
  for (const tab of [one, two]) await until(tab, () => client.status === 'offline')
  const expected = ['both']
  for (let n = 0; n < 30; n++) {
    await Promise.all([write(one, `one ${n}`), write(two, `two ${n}`)])
    expected.push(`one ${n}`, `two ${n}`)
  }
  await shows(one, expected)
  await shows(two, expected)
  await Promise.all([one, two].map((tab) => tab.evaluate(() => client.stored())))
  await reload(two)
  await shows(two, expected)
  await server.startAgain()
  await saved(one, two)
  const ben = await open(await browser.person('ben'))
  await saved(ben)
  await shows(ben, expected)
  await shows(one, expected)
})

test('[C28] two tabs write hundreds of edits while both make their records few: nothing is lost, and what is kept is bounded', async (t) => {
  const { browser, server, open, reload } = await pages(t)
  await server.kill()
  const ana = await browser.person('ana')
  const [one, two] = [await open(ana), await open(ana)]
  const many = (tab, name) => tab.evaluate(async (name) => {
    for (let n = 0; n < 400; n++) {
      const id = client.edit.addItem({ text: `${name} ${n}` })
      client.edit.moveItem(id, { x: n, y: n })
      if (n % 7 === 0) await client.stored()
    }
    await client.stored()
  }, name)
  await Promise.all([many(one, 'one'), many(two, 'two')])
  const expected = ['one', 'two'].flatMap((name) => Array.from({ length: 400 }, (_, n) => `${name} ${n}`))
  await shows(one, expected)
  await shows(two, expected)
  const records = await one.evaluate(() => new Promise((resolve) => {
    indexedDB.open('ruang').onsuccess = ({ target: { result: database } }) => {
      const rooms = database.transaction('rooms').objectStore('rooms').getAll()
      rooms.onsuccess = () => { database.close(); resolve(rooms.result) }
    }
  }))
  console.log(`1,600 edits of two tabs: ${records[0].records} records, ${records[0].bytes} bytes, of which ${records[0].base} in the first`)
  assert.equal(records.length, 1)
  assert.ok(records[0].records <= 201)
  const third = await open(ana)
  await shows(third, expected)
  await third.close()
  await reload(one)
  await shows(one, expected)
  await until(one, () => client.unsaved === 1600)
  await server.startAgain()
  await saved(one, two)
  const ben = await open(await browser.person('ben'))
  await saved(ben)
  await shows(ben, expected)
})

test('[C28] a tab that has a connection sends what a tab without one has written', async (t) => {
  const { browser, open } = await pages(t)
  const ana = await browser.person('ana')
  const [one, two] = [await open(ana), await open(ana)]
  await saved(one, two)
  await one.evaluate(() => client.disconnect())
  await write(one, 'by the other tab')
  await saved(two)
  const ben = await open(await browser.person('ben'))
  await shows(ben, ['by the other tab'])
  assert.equal(await one.evaluate(() => client.status), 'offline')
})

test('[C29] the database is held by a page with an older layout: said, goes on in memory, and all is kept once it is let go', async (t) => {
  const { browser, server, tab, options, reload } = await pages(t)
  const ana = await browser.person('ana')
  const old = await tab(ana)
  await old.evaluate(() => new Promise((resolve) => {
    // Deaf to `versionchange`, as pages are that hang.
    indexedDB.open('ruang', 1).onsuccess = ({ target: { result } }) => { window.held = result; resolve() }
  }))
  const page = await tab(ana)
  await page.evaluate((options) => window.begin(options), options())
  await until(page, () => warnings.includes('storage-blocked'))
  assert.equal(await page.evaluate(() => client.connection.storage), 'memory')
  await saved(page)
  await server.kill()
  await write(page, 'while it was held')
  await old.evaluate(() => window.held.close())
  await until(page, () => warnings.includes('storage-back'))
  assert.equal(await page.evaluate(() => client.connection.storage), 'indexeddb')
  await write(page, 'after')
  await page.evaluate(() => client.stored())
  await reload(page)
  await shows(page, ['while it was held', 'after'])
})

test('[C29] a copy with unsaved edits that could be opened late only is taken in, and its edits are saved', async (t) => {
  const { browser, server, tab, open, options } = await pages(t)
  const ana = await browser.person('ana')
  const before = await open(ana)
  await saved(before)
  await server.kill()
  await write(before, 'from yesterday')
  await before.evaluate(() => client.stored())
  await before.close()
  const old = await tab(ana)
  // Whoever wants to write waits behind it, and hears nothing.
  await old.evaluate(() => new Promise((resolve) => {
    indexedDB.open('ruang', 10).onsuccess = ({ target: { result } }) => {
      // A transaction that goes on and on.
      window.spin = true
      const rooms = result.transaction(['rooms', 'records'], 'readwrite').objectStore('rooms')
      const turn = () => { if (window.spin) rooms.count().onsuccess = turn }
      turn()
      resolve()
    }
  }))
  await server.startAgain()
  const page = await tab(ana)
  await page.evaluate((options) => window.begin(options), options())
  await until(page, () => warnings.includes('storage-blocked') && client.status === 'synced')
  await write(page, 'from today')
  await old.evaluate(() => { window.spin = false })
  await until(page, () => warnings.includes('storage-back'))
  await saved(page)
  await shows(page, ['from today', 'from yesterday'])
  const ben = await open(await browser.person('ben'))
  await shows(ben, ['from today', 'from yesterday'])
})

test('[C29] the disk is full: said, goes on in memory, other rooms\' copies go, and it is kept again when there is room', async (t) => {
  const { browser, server, open, reload, tab, options } = await pages(t)
  const ana = await browser.person('ana')
  // A room whose edits are saved, which may go; and one whose edits are not, which may not.
  const spare = await open(ana, { room: 'spare' })
  await write(spare, 'saved')
  await saved(spare)
  await spare.evaluate(() => client.close())
  const page = await tab(ana)
  // Chromium does not hold IndexedDB to the quota that DevTools set, so the page's `put` fails as a full one does.
  await page.evaluate(() => {
    const { put } = IDBObjectStore.prototype
    IDBObjectStore.prototype.put = function (...given) {
      if (window.full) throw new DOMException('no room', 'QuotaExceededError')
      return put.apply(this, given)
    }
  })
  await page.evaluate((options) => window.begin(options), options())
  await write(page, 'before')
  await saved(page)
  await page.evaluate(() => client.stored())
  await server.kill()
  const unsaved = await open(ana, { room: 'unsaved' })
  await write(unsaved, 'not saved')
  await unsaved.evaluate(() => client.stored())
  await unsaved.close()
  const rooms = () => page.evaluate(() => new Promise((resolve) => {
    indexedDB.open('ruang').onsuccess = ({ target: { result: database } }) => {
      const rows = database.transaction('rooms').objectStore('rooms').getAll()
      rows.onsuccess = () => { database.close(); resolve(rows.result.map((row) => row.scope[1]).sort()) }
    }
  }))
  assert.deepEqual(await rooms(), ['board', 'spare', 'unsaved'])
  await page.evaluate(() => { window.full = true })
  // More than what may wait as it is.
  await page.evaluate(() => { for (let n = 0; n < 60; n++) client.edit.addItem({ text: `${n} `.padEnd(30_000, 'y') }) })
  await until(page, () => warnings.includes('storage-full'))
  assert.equal(await page.evaluate(() => client.connection.storage), 'memory')
  assert.deepEqual(await rooms(), ['board', 'unsaved'])
  await write(page, 'while it was full')
  await page.evaluate(() => { window.full = false })
  await until(page, () => warnings.includes('storage-back'))
  await page.evaluate(() => client.stored())
  const before = await texts(page)
  assert.equal(before.length, 62)
  await reload(page)
  await shows(page, before)
  await until(page, () => client.unsaved === 61)
})

test('[C29] a page that may keep nothing says so, and is a board all the same', async (t) => {
  // A sandboxed page has an origin of its own that stores nothing: IndexedDB and localStorage throw.
  const headers = { 'Content-Security-Policy': 'sandbox allow-scripts', 'Access-Control-Allow-Origin': '*' }
  const { browser, open } = await pages(t, { headers })
  const ana = await browser.person('ana')
  ana.expect(/CORS policy|ERR_FAILED|403/) // no server takes a page without an origin
  const page = await open(ana)
  await until(page, () => warnings.includes('storage-unavailable'))
  await write(page, 'in memory')
  assert.deepEqual(await texts(page), ['in memory'])
  assert.match(await page.evaluate(() => client.user), /^guest-/)
})

test('[C29] a newer version of the page takes the database over: the older one says so, and works in memory, also after a reload', async (t) => {
  const { browser, server, open, tab, reload } = await pages(t)
  const ana = await browser.person('ana')
  const page = await open(ana)
  await write(page, 'before')
  await saved(page)
  const newer = await tab(ana)
  await newer.evaluate(() => new Promise((resolve, reject) => {
    Object.assign(indexedDB.open('ruang', 1000), { onsuccess: resolve, onblocked: () => reject(new Error('blocked')) })
  }))
  await until(page, () => warnings.includes('storage-lost'))
  await write(page, 'after')
  await saved(page)
  assert.equal(await page.evaluate(() => client.connection.storage), 'memory')
  await page.evaluate(() => client.stored())
  await reload(page)
  await until(page, () => warnings.includes('storage-unavailable'))
  await saved(page)
  await shows(page, ['before', 'after'])
  assert.ok(server.running)
})

test('[C41] people of one browser have copies of their own', async (t) => {
  const { browser, server, open } = await pages(t)
  await server.kill()
  const both = await browser.person('both')
  const ana = await open(both, { user: 'ana' })
  await write(ana, 'ana\'s')
  await ana.evaluate(() => client.stored())
  const ben = await open(both, { user: 'ben' })
  assert.deepEqual(await texts(ben), [])
  await write(ben, 'ben\'s')
  await ben.evaluate(() => client.stored())
  await eventually('ana is as before', async () => (await texts(ana)).join() === 'ana\'s')
})

test('[C41] many rooms: copies of those that were opened last are kept, and those with unsaved edits', async (t) => {
  const { browser, server, open } = await pages(t)
  await server.kill()
  const ana = await browser.person('ana')
  const first = await open(ana, { room: 'first' })
  await write(first, 'unsaved')
  await first.evaluate(() => client.stored())
  const kept = await first.evaluate(() => new Promise((resolve) => {
    indexedDB.open('ruang').onsuccess = ({ target: { result: database } }) => {
      const write = database.transaction(['rooms', 'records'], 'readwrite')
      const rooms = write.objectStore('rooms')
      rooms.openCursor().onsuccess = ({ target: { result } }) => {
        const { value } = result
        // As if it had been opened long ago, before seventy others.
        rooms.put({ ...value, openedMs: 1 })
        for (let n = 0; n < 70; n++) {
          const scope = [value.scope[0], `room ${n}`, value.scope[2]]
          rooms.put({ ...value, scope, unsaved: {}, openedMs: Date.now() - n * 1000 })
          write.objectStore('records').put(new Uint8Array(2), [...scope, 0])
        }
      }
      write.oncomplete = () => { database.close(); resolve() }
    }
  })).then(() => open(ana, { room: 'another' })).then((page) => page.evaluate(() => new Promise((resolve) => {
    indexedDB.open('ruang').onsuccess = ({ target: { result: database } }) => {
      const read = database.transaction(['rooms', 'records'])
      const rooms = read.objectStore('rooms').getAllKeys()
      const records = read.objectStore('records').getAllKeys()
      read.oncomplete = () => { database.close(); resolve([rooms.result.map(([, room]) => room), records.result.map(([, room]) => room)]) }
    }
  })))
  const [rooms, records] = kept
  assert.equal(rooms.length, 52, 'fifty, the one with unsaved edits, and the one that is open')
  assert.ok(rooms.includes('first') && rooms.includes('room 0') && !rooms.includes('room 69'))
  assert.ok(records.includes('first') && !records.includes('room 69'))
})

test('[C41] offline and without a token the copy of who was here last is opened; a token of somebody else is not taken for it', async (t) => {
  const { browser, server, open, tab, options } = await pages(t)
  await server.kill()
  const ana = await browser.person('ana')
  const before = await open(ana, { user: 'ana' })
  await write(before, 'ana\'s')
  await before.evaluate(() => client.stored())
  await before.close()
  const page = await tab(ana)
  await page.evaluate((options) => window.begin({ ...options, getToken: () => { if (!window.token) throw new Error('offline'); return window.token } }), options())
  assert.deepEqual(await texts(page), ['ana\'s'])
  assert.deepEqual(await page.evaluate(() => [client.user, client.connection.role]), ['ana', 'editor'])
  await page.evaluate((token) => { window.token = token }, sign({ sub: 'ben' }))
  await until(page, () => client.status === 'refused')
  assert.match(await page.evaluate(() => client.connection.reason.text), /ben/)
  // Where nobody was, a token is waited for: nobody knows whose edits they would be.
  const other = await tab(await browser.person('ben'))
  await other.evaluate((options) => { window.begin({ ...options, getToken: () => { if (!window.token) throw new Error('offline'); return window.token } }) }, options())
  await until(other, () => warnings.filter((code) => code === 'no-token').length > 2 && client.status === 'offline')
  assert.equal(await other.evaluate(() => client.connection.isReady), false)
  await other.evaluate((token) => { window.token = token }, sign({ sub: 'ben' }))
  await until(other, () => client.connection.isReady)
  assert.equal(await other.evaluate(() => client.user), 'ben')
})
